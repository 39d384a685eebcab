//! Facts of the file room: which descriptors were closed and which descriptions released.
//! Neighbours: `fs/fdtable`, `fs/file`.

/// What happened to a descriptor or an open file description. Named after Linux's functions.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum FileFact {
    /// close_files goes through the table: ascending (rule F-6).
    CloseFiles { open: usize },
    /// One slot was closed; `refs_left` of its description remain elsewhere.
    FilpClose { fd: i32, what: String, refs_left: u32 },
    /// The last reference went: the release is queued (LIFO) or, in a plain close, done at once.
    Fput { what: String, deferred: bool },
    /// The release itself.
    FinalFput { what: String },
}
