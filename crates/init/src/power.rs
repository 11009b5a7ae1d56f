//! The end of the session: media let go, the account shown, then power-off or restart.

use std::time::Duration;

use guard::Power;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::system::{RebootCommand, reboot};

use crate::broker::World;
use crate::log;

/// Ends everything. Returns only if the kernel refused to.
pub(crate) fn end(how: Power, world: &mut World) {
    log::line(match how {
        Power::Off => "powering off",
        Power::Restart => "restarting",
    });
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGKILL] {
        let _none_left = kill(Pid::from_raw(-1), signal);
        std::thread::sleep(Duration::from_millis(300));
    }
    world.disks.close();
    for line in world.disks.account() {
        log::line(&line);
    }
    // The clock of the machine is evidence too: it is not set on the way out.
    let command = match how {
        Power::Off => RebootCommand::PowerOff,
        Power::Restart => RebootCommand::Restart,
    };
    if let Err(problem) = reboot(command) {
        world.problems.add(format_args!("ending the session: {problem}"));
    }
}
