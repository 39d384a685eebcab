//! Tests of pipes.
//! Rules F-13 to F-15.
