//! The whole session of PID 1: start, then one loop over events, tools and children.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use guard::{DiskName, Layer, Power, inventory};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::system::{RebootCommand, reboot};

use crate::broker::{self, CLIENT_LIMIT, Next, World};
use crate::console;
use crate::disks::Disks;
use crate::hardening;
use crate::log::{self, Problems};
use crate::network::Network;
use crate::tripwire::Tripwire;
use crate::uevent::{self, Listener};
use crate::{boot, enter, modules::Modules, power};

/// How long the device tree must be quiet before the consoles start, and the longest wait for it.
const QUIET: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(12);

/// Runs the session. Returns only if there is no way on.
pub(crate) fn run() {
    let mut problems = Problems::default();
    boot::kernel_views(&mut problems);
    let listener = problems.note("listening for devices", Listener::open());
    hardening::apply(&mut problems);
    // Ctrl-Alt-Del becomes a signal to us instead of a hard reset.
    problems.note("taking over Ctrl-Alt-Del", reboot(RebootCommand::CadOff));
    if let Err(problem) = boot::sealed_root(&mut problems) {
        log::line(&problem);
        log::line("this stick is damaged; nothing was touched; switch the machine off");
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
    let modules = boot::module_list(&mut problems);
    boot::tool_views(&mut problems);
    let (disks, sealed_descriptor) = Disks::start(&mut problems);
    let mut world = World {
        disks,
        modules,
        network: Network::default(),
        layers: Vec::new(),
        problems,
        refusals: 0,
    };
    settle(listener.as_ref(), &mut world);
    boot::machine_facts(&mut world.problems, &mut world.modules);
    world.layers = box_layers(&mut world.problems);
    world.layers.push(sealed_descriptor);
    attend(listener.as_ref(), &mut world);
}

/// Loads drivers and locks disks until nothing new turns up for a while.
fn settle(listener: Option<&Listener>, world: &mut World) {
    let start = Instant::now();
    walk(world);
    let mut last = Instant::now();
    while start.elapsed() < PATIENCE && last.elapsed() < QUIET {
        if drain(listener, world) > 0 {
            last = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Looks at everything that is there now, for what no event told us.
fn walk(world: &mut World) {
    for modalias in uevent::modaliases(Path::new("/sys/devices")) {
        load_for(&modalias, &mut world.modules, &mut world.problems);
    }
    for disk in inventory::disks(Path::new("/sys")).unwrap_or_default() {
        world.disks.appeared(&disk.name, &mut world.problems);
    }
}

fn load_for(modalias: &str, modules: &mut Modules, problems: &mut Problems) {
    for problem in modules.load_for(modalias) {
        problems.add(problem);
    }
}

/// Works off the waiting events; returns how many there were.
fn drain(listener: Option<&Listener>, world: &mut World) -> usize {
    let Some(listener) = listener else { return 0 };
    let mut count = 0_usize;
    loop {
        let event = match listener.next() {
            Ok(Some(event)) => event,
            Ok(None) => return count,
            Err(_lost) => {
                walk(world);
                return count.saturating_add(1);
            }
        };
        count = count.saturating_add(1);
        if event.subsystem == "block" && event.kind == "disk" {
            if let Ok(name) = event.name.parse::<DiskName>() {
                match event.action.as_str() {
                    "add" | "change" => world.disks.appeared(&name, &mut world.problems),
                    "remove" => world.disks.disappeared(&name, &mut world.problems),
                    _ => {}
                }
            }
        } else if let (Some(modalias), "add" | "change") = (&event.modalias, event.action.as_str())
        {
            load_for(modalias, &mut world.modules, &mut world.problems);
        }
    }
}

/// Goes through the box once in a child and reports which of its layers hold.
fn box_layers(problems: &mut Problems) -> Vec<Layer> {
    enter::prepare_group(problems);
    let run = Command::new("/proc/self/exe").arg("probe").output();
    problems
        .note("trying the tools' box", run)
        .and_then(|output| {
            let parsed = serde_json::from_slice(&output.stdout);
            problems.note("reading the trial of the tools' box", parsed)
        })
        .unwrap_or_else(|| vec![hardening::layer("box", false, "its trial did not end".into())])
}

/// The loop. Returns only if it cannot even wait.
fn attend(listener: Option<&Listener>, world: &mut World) {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGPWR] {
        mask.add(signal);
    }
    let _blocked = mask.thread_block();
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    let signals = world.problems.note("listening for signals", signals);
    let socket = world.problems.note("opening the broker's socket", broker::listener());
    let tripwire = world.problems.note("opening the kernel's messages", Tripwire::open());
    let mut consoles = console::find();
    let mut clients = Vec::new();
    loop {
        reap();
        let wait = console::tend(&mut consoles, &mut world.problems);
        let mut watched: Vec<PollFd<'_>> = Vec::new();
        for descriptor in [
            listener.map(|listener| listener.0.as_fd()),
            signals.as_ref().map(AsFd::as_fd),
            socket.as_ref().map(AsFd::as_fd),
        ]
        .into_iter()
        .flatten()
        .chain(clients.iter().map(AsFd::as_fd))
        {
            watched.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
        }
        let timeout = Timespec {
            tv_sec: wait.unwrap_or(Duration::from_secs(5)).as_secs().min(60).cast_signed(),
            tv_nsec: wait.map_or(0, |wait| i64::from(wait.subsec_nanos())),
        };
        let _ready_or_not = poll(&mut watched, Some(&timeout));
        drop(watched);
        drain(listener, world);
        for warning in tripwire.iter().flat_map(Tripwire::warnings) {
            world.problems.add(warning);
        }
        if let Some(how) = signals.as_ref().and_then(asked_by_signal) {
            power::end(how, world);
        }
        while let Some(client) = socket.as_ref().and_then(broker::accept) {
            if clients.len() < CLIENT_LIMIT {
                clients.push(client);
            }
        }
        clients.retain(|client| {
            if !readable(client) {
                return true;
            }
            match broker::serve(client, world) {
                Next::Keep => true,
                Next::Close => false,
                Next::End(how) => {
                    power::end(how, world);
                    false
                }
            }
        });
    }
}

fn readable(client: &impl AsFd) -> bool {
    let mut one = [PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut one, Some(&now)).is_ok_and(|count| count > 0)
}

/// Ctrl-Alt-Del arrives as SIGINT, a dying power supply as SIGPWR.
fn asked_by_signal(signals: &SignalFd) -> Option<Power> {
    let mut how = None;
    while let Ok(Some(signal)) = signals.read_signal() {
        match i32::try_from(signal.ssi_signo).ok().and_then(|number| number.try_into().ok()) {
            Some(Signal::SIGINT) => how = Some(Power::Restart),
            Some(Signal::SIGPWR | Signal::SIGTERM) => how = Some(Power::Off),
            _ => {}
        }
    }
    how
}

/// Collects orphans. The shells' own ends are seen by their consoles, which look first.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}
