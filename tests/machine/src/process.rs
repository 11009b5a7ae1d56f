//! Starts child programs so that none outlives the test program.
//!
//! A child is killed when its handle is dropped (so also on panic), and by the kernel when this
//! program dies in any other way. The kernel ties that signal to the *thread* that started the
//! child, so one thread that never ends starts them all; `setpriv` sets the signal, which keeps
//! this crate free of unsafe code.

use crate::error::{Doing, Error, Result};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

type Order = (Command, Sender<std::io::Result<Child>>);

/// A child that is killed with its owner.
#[derive(Debug)]
pub struct Owned {
    child: Child,
    name: String,
}

impl Owned {
    /// Starts `program` with `arguments`; both output streams go to `log`.
    ///
    /// # Errors
    /// [`Error::Machine`] when the program cannot be started.
    pub fn start(program: &str, arguments: &[String], log: &Path) -> Result<Self> {
        let out = std::fs::File::create(log).doing("creating", log)?;
        let err = out.try_clone().doing("sharing", log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]).args(arguments);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let (reply, answer) = channel();
        keeper()
            .lock()
            .map_err(|_| Error::Machine("the starting thread is gone".into()))?
            .send((command, reply))
            .map_err(|_| Error::Machine("the starting thread is gone".into()))?;
        let child = answer
            .recv()
            .map_err(|_| Error::Machine("the starting thread is gone".into()))?
            .map_err(|e| Error::Machine(format!("starting {program} through setpriv: {e}")))?;
        Ok(Self { child, name: program.to_owned() })
    }

    /// The exit status when the child has ended.
    #[must_use]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`Error::Machine`] when it has not ended after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > end {
                return crate::error::machine(format!("{} still runs after {limit:?}", self.name));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the child now.
    pub fn kill(&mut self) {
        // Both fail only when it is already gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keeper() -> &'static Mutex<Sender<Order>> {
    static KEEPER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    KEEPER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    })
}

/// Runs a host tool to its end and gives its standard output.
///
/// # Errors
/// [`Error::Machine`] when it is missing or ends with another code than 0.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let out = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::Machine(format!("starting {program}: {e}")))?;
    if !out.status.success() {
        return crate::error::machine(format!(
            "{program} {} ended with {}: {}",
            arguments.join(" "),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_kills_the_child() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut child =
            Owned::start("sleep", &["600".into()], &dir.path().join("log")).expect("sleep");
        assert!(child.ended().is_none());
        let id = child.child.id();
        drop(child);
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        assert!(!state.contains("(sleep)"), "still there: {state}");
    }

    #[test]
    fn failing_tool_is_named() {
        let text = run("false", &["x"]).expect_err("false fails").to_string();
        assert!(text.contains("false x ended with"), "{text}");
    }
}
