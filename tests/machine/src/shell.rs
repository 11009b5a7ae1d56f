//! Runs command lines in a guest's shell and takes their exit code and output.
//!
//! The marks around the output are written with a quote in their middle, so the line the shell
//! echoes never contains a mark, whatever a line editor does to it.

use crate::error::{Result, test};
use crate::serial::Serial;
use std::time::Duration;

/// What one command line gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The command line as typed.
    pub line: String,
    /// Exit code the shell reported.
    pub code: i32,
    /// Both output streams as they came over the line, without escape sequences.
    pub text: String,
}

impl Output {
    /// The text, when the code is 0.
    ///
    /// # Errors
    /// [`crate::Error::Test`] with the text otherwise.
    pub fn ok(self) -> Result<String> {
        if self.code == 0 {
            return Ok(self.text);
        }
        test(format!("`{}` ended with {}: {}", self.line, self.code, self.text.trim()))
    }
}

/// A command line that was typed and has not been waited for.
#[derive(Debug)]
pub struct Pending {
    line: String,
    number: u32,
    from: usize,
}

/// A shell behind a serial line.
#[derive(Debug)]
pub struct Shell {
    /// The line itself, for what is not a command.
    pub serial: Serial,
    count: u32,
}

impl Shell {
    /// Uses `serial`, on which a shell waits or will wait for input.
    #[must_use]
    pub fn new(serial: Serial) -> Self {
        Self { serial, count: 0 }
    }

    /// Waits for `text` anywhere in what was said since power-on.
    ///
    /// # Errors
    /// As [`Serial::expect`].
    pub fn wait_for(&self, text: &str, limit: Duration) -> Result<()> {
        self.serial.expect(&format!("{text:?}"), 0, limit, |t| t.contains(text).then_some(()))
    }

    /// Types one command line and waits for its end.
    ///
    /// # Errors
    /// [`crate::Error::Test`] when it has not ended within `limit`.
    pub fn run(&mut self, line: &str, limit: Duration) -> Result<Output> {
        let pending = self.begin(line)?;
        self.finish(&pending, limit)
    }

    /// Types one command line and does not wait.
    ///
    /// # Errors
    /// [`crate::Error::Machine`] when QEMU is gone.
    pub fn begin(&mut self, line: &str) -> Result<Pending> {
        self.count += 1;
        let number = self.count;
        let from = self.serial.heard();
        let typed = format!("echo \"GBX\"\"B{number}\"; {line}; echo \"GBX\"\"E{number}\" $?\r");
        self.serial.send(typed.as_bytes())?;
        Ok(Pending { line: line.to_owned(), number, from })
    }

    /// Waits for the end of a line typed with [`Shell::begin`].
    ///
    /// # Errors
    /// [`crate::Error::Test`] when it has not ended within `limit`.
    pub fn finish(&self, pending: &Pending, limit: Duration) -> Result<Output> {
        let Pending { line, number, from } = pending;
        let what = format!("end of `{line}`");
        let (text, code) = self.serial.expect(&what, *from, limit, |t| between(t, *number))?;
        Ok(Output { line: line.clone(), code, text })
    }

    /// Runs a line that must end with 0 and gives its output.
    ///
    /// # Errors
    /// [`crate::Error::Test`] when it does not.
    pub fn must(&mut self, line: &str, limit: Duration) -> Result<String> {
        self.run(line, limit)?.ok()
    }
}

fn between(text: &str, number: u32) -> Option<(String, i32)> {
    let begin = format!("GBXB{number}\n");
    let end = format!("GBXE{number} ");
    let start = text.find(&begin)? + begin.len();
    let body = text.get(start..)?;
    let stop = body.find(&end)?;
    let (code, _) = body.get(stop + end.len()..)?.split_once('\n')?;
    Some((body.get(..stop)?.to_owned(), code.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_is_not_taken_for_output() {
        let echo = "$ echo \"GBX\"\"B1\"; true; echo \"GBX\"\"E1\" $?\n";
        assert_eq!(between(echo, 1), None);
        let whole = format!("{echo}GBXB1\nhello\nGBXE1 3\n$ ");
        assert_eq!(between(&whole, 1), Some(("hello\n".into(), 3)));
    }

    #[test]
    fn output_without_a_last_newline_and_a_half_mark() {
        assert_eq!(between("GBXB2\nabcGBXE2 0\n", 2), Some(("abc".into(), 0)));
        assert_eq!(between("GBXB2\nabcGBXE2 1", 2), None, "the code may have more digits");
    }

    #[test]
    fn a_real_shell_behind_a_socket() {
        use std::os::unix::net::UnixStream;
        let (guest, host) = UnixStream::pair().expect("pair");
        let output = guest.try_clone().expect("clone");
        // No terminal here, so nobody else turns the return key into a newline.
        let mut child = std::process::Command::new("sh")
            .args(["-c", r"stdbuf -i0 -o0 tr '\r' '\n' | sh"])
            .stdin(std::os::fd::OwnedFd::from(guest))
            .stdout(std::os::fd::OwnedFd::from(output))
            .spawn()
            .expect("sh");
        let mut shell = Shell::new(Serial::listen(host).expect("listen"));
        let out = shell.run("printf 'a b'; sh -c 'exit 7'", Duration::from_secs(10)).expect("run");
        assert_eq!((out.code, out.text.as_str()), (7, "a b"));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}
