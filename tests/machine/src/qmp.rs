//! A small client of QEMU's machine protocol (QMP), as in `qapi/` of the QEMU manual.
//!
//! Only what the tests need: commands one at a time, events kept in order.

use crate::error::{Error, Result, machine};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// One connection to a running QEMU.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    partial: Vec<u8>,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Takes the greeting and opens command mode.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU does not speak QMP on `stream`.
    pub fn open(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_millis(200))).map_err(|e| lost(&e))?;
        let writer = stream.try_clone().map_err(|e| lost(&e))?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            writer,
            partial: Vec::new(),
            events: VecDeque::new(),
        };
        let greeting = qmp
            .line(Instant::now() + Duration::from_secs(20))?
            .ok_or_else(|| Error::Machine("QEMU gave no QMP greeting".into()))?;
        if greeting.get("QMP").is_none() {
            return machine(format!("QEMU greeted with {greeting}"));
        }
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and gives its `return` value.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU refuses it, answers nothing for a minute, or is gone.
    pub fn command(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        let order = json!({ "execute": name, "arguments": arguments });
        writeln!(self.writer, "{order}").map_err(|e| lost(&e))?;
        let end = Instant::now() + Duration::from_secs(60);
        while let Some(answer) = self.line(end)? {
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                return machine(format!("QEMU refused {name} {}: {error}", order["arguments"]));
            }
            self.events.push_back(answer);
        }
        machine(format!("QEMU did not answer {name}"))
    }

    /// Waits for an event called `name`; `None` when it does not come within `limit`.
    ///
    /// # Errors
    /// [`Error::Machine`] when the connection is lost.
    pub fn event(&mut self, name: &str, limit: Duration) -> Result<Option<Value>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(at) = self.events.iter().position(|e| e["event"] == name) {
                return Ok(self.events.remove(at));
            }
            match self.line(end)? {
                Some(event) => self.events.push_back(event),
                None => return Ok(None),
            }
        }
    }

    /// Sends a command whose answer may never come, such as `quit`.
    pub fn post(&mut self, name: &str) {
        // A closed connection means QEMU is already gone.
        let _ = writeln!(self.writer, "{}", json!({ "execute": name }));
    }

    fn line(&mut self, end: Instant) -> Result<Option<Value>> {
        loop {
            match self.reader.read_until(b'\n', &mut self.partial) {
                Ok(0) => return machine("QEMU closed its control connection"),
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let value = serde_json::from_slice(&self.partial)
                        .map_err(|e| Error::Machine(format!("QMP line is not JSON: {e}")));
                    self.partial.clear();
                    return value.map(Some);
                }
                Ok(_) => {}
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock) => {}
                Err(e) => return Err(lost(&e)),
            }
            if Instant::now() > end {
                return Ok(None);
            }
        }
    }
}

fn lost(e: &std::io::Error) -> Error {
    Error::Machine(format!("talking to QEMU: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_between_command_and_answer_are_kept() {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let mut far = theirs.try_clone().expect("clone");
        let peer = std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs).lines();
            far.write_all(b"{\"QMP\":{}}\n").expect("greet");
            lines.next();
            far.write_all(b"{\"return\":{}}\n").expect("capabilities");
            lines.next();
            far.write_all(b"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true}}\n{\"return\":7}\n")
                .expect("answer");
        });
        let mut qmp = Qmp::open(ours).expect("open");
        assert_eq!(qmp.command("x", &json!({})).expect("answer"), json!(7));
        let event = qmp.event("SHUTDOWN", Duration::from_secs(1)).expect("kept").expect("event");
        assert_eq!(event["data"]["guest"], json!(true));
        peer.join().expect("peer");
    }
}
