//! One attempt after the other, and the table of them.

use std::process::ExitCode;

/// Category of a command, as write-blocker test plans divide them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reading and asking: must work.
    Read,
    /// Changes data.
    Write,
    /// Changes how the device works.
    Configure,
    /// Anything else that reaches a device or the kernel.
    Other,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Configure => "configure",
            Self::Other => "other",
        }
    }
}

/// Result of one attempt: done, or the error number.
pub(crate) type Tried = Result<(), i32>;

/// All attempts so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    count: u32,
    wrong: u32,
}

impl Report {
    /// Notes one attempt and prints its line at once, in case the next one ends the machine.
    pub(crate) fn note(&mut self, kind: Kind, name: &str, tried: Tried) {
        self.count += 1;
        let good = tried.is_ok() == (kind == Kind::Read);
        self.wrong += u32::from(!good);
        let result = match tried {
            Ok(()) => "done".to_owned(),
            Err(number) => format!("refused: {}", std::io::Error::from_raw_os_error(number)),
        };
        let verdict = if good { "as it must be" } else { "WRONG" };
        println!("assault: {:<9} {name:<38} {result:<48} {verdict}", kind.name());
    }

    /// Prints the closing line.
    pub(crate) fn end(&self, disk: &str) -> ExitCode {
        println!("assault: {} attempts on {disk}, {} wrong", self.count, self.wrong);
        ExitCode::from(u8::from(self.wrong > 0))
    }
}

/// Turns the result of a system call into an attempt's result.
pub(crate) fn result(value: i64) -> Tried {
    if value >= 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
