//! Answers the tools: one packet in, one packet out, a descriptor for reading where one is due.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use guard::{Answer, Layer, Power, Request, SOCKET_PATH, Status, channel};
use rustix::fs::{Mode, chmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
    sockopt,
};

use crate::disks::Disks;
use crate::log::Problems;
use crate::modules::Modules;
use crate::network::Network;
use crate::questions;

/// Most tools connected at once.
pub(crate) const CLIENT_LIMIT: usize = 64;

/// What the broker may touch while it answers.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) disks: Disks,
    pub(crate) modules: Modules,
    pub(crate) network: Network,
    pub(crate) layers: Vec<Layer>,
    pub(crate) problems: Problems,
    pub(crate) refusals: u64,
}

/// Opens the socket the tools connect to.
pub(crate) fn listener() -> std::io::Result<OwnedFd> {
    let _stale = std::fs::remove_file(SOCKET_PATH);
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    bind(&socket, &SocketAddrUnix::new(SOCKET_PATH)?)?;
    chmod(SOCKET_PATH, Mode::from_raw_mode(0o666))?;
    listen(&socket, 16)?;
    Ok(socket)
}

/// Takes one waiting tool, if any.
pub(crate) fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    let client = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()?;
    channel::make_room(&client).ok()?;
    // A tool that does not read its answer must not hold up the broker.
    sockopt::set_socket_timeout(&client, sockopt::Timeout::Send, Some(Duration::from_secs(1)))
        .ok()?;
    Some(client)
}

/// What is left to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Keep the connection.
    Keep,
    /// The tool left or broke the protocol.
    Close,
    /// The session ends.
    End(Power),
}

/// Serves one request of one tool.
pub(crate) fn serve(client: &OwnedFd, world: &mut World) -> Next {
    let Ok((bytes, _unwanted)) = channel::receive(client) else { return Next::Close };
    if bytes.is_empty() {
        return Next::Close;
    }
    let (answer, descriptor, next) = match serde_json::from_slice::<Request>(&bytes) {
        Ok(request) => match answer(request, world, client) {
            Some(answered) => answered,
            None => return Next::Keep,
        },
        Err(problem) => {
            (Answer::Refused { reason: format!("not a request: {problem}") }, None, Next::Close)
        }
    };
    if let Answer::Refused { .. } = answer {
        world.refusals = world.refusals.saturating_add(1);
    }
    let bytes = serde_json::to_vec(&answer).unwrap_or_default();
    match channel::send(client, &bytes, descriptor.as_ref().map(AsFd::as_fd)) {
        Ok(()) => next,
        Err(_) if matches!(next, Next::End(_)) => next,
        Err(_) => Next::Close,
    }
}

/// The answer, or `None` if a thread of its own gives it.
fn answer(
    request: Request,
    world: &mut World,
    client: &OwnedFd,
) -> Option<(Answer, Option<OwnedFd>, Next)> {
    let later = |started: Result<(), String>| match started {
        Ok(()) => None,
        Err(reason) => Some((Answer::Refused { reason }, None, Next::Keep)),
    };
    let result = match request {
        Request::Ask { disk, question } => {
            return later(questions::put(client, world, &disk, question));
        }
        Request::Connect { to } => return later(world.network.connect(client, to)),
        Request::NetUp(asked) => world.network.up(&asked).map(|()| (Answer::NetDone, None)),
        Request::NetDown { interface } => {
            world.network.down(&interface).map(|()| (Answer::NetDone, None))
        }
        Request::Status => Ok((Answer::Status(Box::new(status(world))), None)),
        Request::Open { disk } => world
            .disks
            .open(&disk)
            .map(|(disk, descriptor)| (Answer::Opened(Box::new(disk)), Some(descriptor))),
        Request::MarkSource { disk } => {
            world.disks.mark_source(&disk).map(|disk| (Answer::Done(Box::new(disk)), None))
        }
        Request::Unlock(asked) => world
            .disks
            .unlock(&asked, &mut world.modules)
            .map(|(disk, mounts)| (Answer::Unlocked { disk: Box::new(disk), mounts }, None)),
        Request::Target(asked) => world
            .disks
            .target(&asked)
            .map(|(disk, descriptor)| (Answer::Opened(Box::new(disk)), Some(descriptor))),
        Request::Lock { disk } => {
            world.disks.lock(&disk).map(|disk| (Answer::Done(Box::new(disk)), None))
        }
        Request::Power { how } => return Some((Answer::Ending, None, Next::End(how))),
    };
    Some(match result {
        Ok((answer, descriptor)) => (answer, descriptor, Next::Keep),
        Err(reason) => (Answer::Refused { reason }, None, Next::Keep),
    })
}

fn status(world: &World) -> Status {
    let (locked, all) = world.disks.locked_of();
    let failed = world.disks.failed();
    let mut layers = world.layers.clone();
    let mut disk_lock = crate::hardening::layer(
        "disk-lock",
        failed == 0,
        format!("{locked} of {all} disks locked, {failed} locks failed"),
    );
    if crate::knockout::Layer::DiskLock.knocked_out() {
        disk_lock.state = guard::LayerState::KnockedOut;
    }
    layers.push(disk_lock);
    layers.extend(crate::hardening::layers(world.modules.count()));
    Status {
        brokered: true,
        disks: world.disks.all(),
        layers,
        refusals: world.refusals,
        problems: world.problems.all().to_vec(),
    }
}
