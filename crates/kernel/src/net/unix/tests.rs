//! Tests of AF_UNIX sockets over the system call table.
//! Rules F-16 to F-21.
