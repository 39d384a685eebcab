//! `#!` scripts: what the first line says. Pure. Neighbour: `task/exec`, which opens the interpreter
//! and goes round again. execve(2), "Interpreter scripts"; load_script() in Linux.

use crate::abi::Errno;

/// BINPRM_BUF_SIZE: how much of a file exec looks at.
pub const BINPRM_BUF_SIZE: usize = 256;

/// What the first line of a script names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// The interpreter's path.
    pub interpreter: Vec<u8>,
    /// Its one optional argument: the rest of the line.
    pub argument: Option<Vec<u8>>,
}

fn is_blank(byte: &u8) -> bool {
    *byte == b' ' || *byte == b'\t'
}

impl Script {
    /// Reads the beginning of a file (`buf` is shorter than [`BINPRM_BUF_SIZE`] only if the file is).
    /// `Ok(None)` if it is no script; ENOEXEC for a script without an interpreter or with a path
    /// that is cut off.
    pub fn parse(buf: &[u8]) -> Result<Option<Script>, Errno> {
        let Some(rest) = buf.strip_prefix(b"#!") else { return Ok(None) };
        let newline = rest.iter().position(|b| *b == b'\n');
        // Linux's buffer is filled up with zeroes, which end the line too.
        let cut_off = newline.is_none() && buf.len() >= BINPRM_BUF_SIZE && !rest.contains(&0);
        let line = &rest[..newline.unwrap_or(rest.len())];
        let line = &line[..line.iter().position(|b| *b == 0).unwrap_or(line.len())];
        let start = line.iter().position(|b| !is_blank(b)).ok_or(Errno::ENOEXEC)?;
        let line = &line[start..];
        let path_end = line.iter().position(is_blank);
        if cut_off && path_end.is_none() {
            return Err(Errno::ENOEXEC);
        }
        let (interpreter, rest) = line.split_at(path_end.unwrap_or(line.len()));
        let from = rest.iter().position(|b| !is_blank(b));
        let to = rest.iter().rposition(|b| !is_blank(b));
        let argument = from.zip(to).map(|(from, to)| rest[from..=to].to_vec());
        Ok(Some(Script { interpreter: interpreter.to_vec(), argument }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (String, Option<String>) {
        let script = Script::parse(line.as_bytes()).unwrap().unwrap();
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        (text(script.interpreter), script.argument.map(text))
    }

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        assert_eq!(parse("#!/bin/sh\n"), ("/bin/sh".into(), None));
        assert_eq!(parse("#! \t/bin/sh -e -x \t\nrest"), ("/bin/sh".into(), Some("-e -x".into())));
        assert_eq!(parse("#!/bin/sh"), ("/bin/sh".into(), None));
        assert_eq!(parse("#!/bin/sh\0junk"), ("/bin/sh".into(), None));
    }

    #[test]
    fn a_script_without_interpreter_is_refused() {
        assert_eq!(Script::parse(b"#!  \n"), Err(Errno::ENOEXEC));
        assert_eq!(Script::parse(b"\x7fELF"), Ok(None));
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused_and_an_argument_is_cut() {
        let mut long = b"#!/".to_vec();
        long.resize(BINPRM_BUF_SIZE, b'x');
        assert_eq!(Script::parse(&long), Err(Errno::ENOEXEC));
        let mut argument = b"#!/bin/sh ".to_vec();
        argument.resize(BINPRM_BUF_SIZE, b'y');
        assert_eq!(Script::parse(&argument).unwrap().unwrap().argument.unwrap().len(), 246);
    }
}
