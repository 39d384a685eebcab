//! Typed ids into arenas: how one kernel object names another without pointers, so that the kernel
//! stays a value. Slots are reused lowest-freed-last (a stack), which is deterministic; the
//! generation makes a stale id miss instead of naming a stranger.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

/// Names one `T` in an [`Arena<T>`]. `Copy`, ordered, printable.
pub struct Id<T> {
    slot: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.slot, self.generation) == (other.slot, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.slot, self.generation).cmp(&(other.slot, other.generation))
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.slot, self.generation)
    }
}

impl<T> Id<T> {
    /// An id that never names anything: for fields that are filled in a moment later.
    pub fn nobody() -> Id<T> {
        Id { slot: u32::MAX, generation: u32::MAX, of: PhantomData }
    }

    /// A number that no other living object of the arena has: for tables shown to guests.
    pub fn number(self) -> u64 {
        u64::from(self.slot)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// A vector with holes: objects of one kind, named by [`Id`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Arena<T> {
    /// Stores `value` and gives it a name.
    pub fn insert(&mut self, value: T) -> Id<T> {
        match self.free.pop() {
            Some(slot) => {
                let place = &mut self.slots[slot as usize];
                place.value = Some(value);
                Id { slot, generation: place.generation, of: PhantomData }
            }
            None => {
                let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 objects");
                self.slots.push(Slot { generation: 0, value: Some(value) });
                Id { slot, generation: 0, of: PhantomData }
            }
        }
    }

    /// Takes the object out; its id never names anything again. `None` if it was gone already.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation != id.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(value)
    }

    /// The object, unless it is gone.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        let place = self.slots.get(id.slot as usize)?;
        if place.generation == id.generation { place.value.as_ref() } else { None }
    }

    /// The object, to change it, unless it is gone.
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation == id.generation { place.value.as_mut() } else { None }
    }

    /// All objects in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| {
            let id = Id { slot: slot as u32, generation: place.generation, of: PhantomData };
            place.value.as_ref().map(|v| (id, v))
        })
    }

    /// All objects in slot order, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<T>, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, place)| {
            let id = Id { slot: slot as u32, generation: place.generation, of: PhantomData };
            place.value.as_mut().map(|v| (id, v))
        })
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True when nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;
    #[track_caller]
    fn index(&self, id: Id<T>) -> &T {
        self.get(id).expect("an id outlived its object: a bug in the kernel's reference counts")
    }
}

impl<T> IndexMut<Id<T>> for Arena<T> {
    #[track_caller]
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        self.get_mut(id).expect("an id outlived its object: a bug in the kernel's reference counts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_names_nothing() {
        let mut arena = Arena::default();
        let a = arena.insert("a");
        assert_eq!(arena.remove(a), Some("a"));
        let b = arena.insert("b");
        assert_eq!(arena.get(a), None);
        assert_eq!(arena[b], "b");
        assert_eq!(arena.len(), 1);
    }
}
