//! The one network interface an examiner may bring up, and connections over it.
//!
//! The tools live in a network of their own that has no link, so that nothing they do reaches a wire by itself. The broker
//! brings an interface up when told to, and connects for a tool that names the address; only the connected descriptor
//! leaves it. Nothing that arrives is read here, and nothing listens.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use guard::{Answer, Interface, NetUp};
use sys::network::{self, Link};

use crate::log;
use crate::questions;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Interfaces that are up by the examiner's word.
#[derive(Debug, Default)]
pub(crate) struct Network(BTreeSet<Interface>);

impl Network {
    /// Brings one up.
    pub(crate) fn up(&mut self, asked: &NetUp) -> Result<(), String> {
        let name = asked.interface.as_str();
        let failed = |problem| format!("bringing up {name}: {problem}");
        self.0.insert(asked.interface.clone());
        let result = network::set_address(name, asked.address, asked.prefix_bits)
            .and_then(|()| network::set_link(name, Link::Up))
            .and_then(|()| asked.gateway.map_or(Ok(()), network::set_gateway));
        if let Err(problem) = result {
            let back = self.down(&asked.interface).err().unwrap_or_default();
            return Err(format!("{} {back}", failed(problem)));
        }
        log::line(&format!("network {name} UP as {}/{}", asked.address, asked.prefix_bits));
        Ok(())
    }

    /// Takes one down.
    pub(crate) fn down(&mut self, interface: &Interface) -> Result<(), String> {
        let name = interface.as_str();
        network::set_link(name, Link::Down)
            .and_then(|()| network::set_address(name, Ipv4Addr::UNSPECIFIED, 0))
            .map_err(|problem| format!("taking down {name}: {problem}"))?;
        self.0.remove(interface);
        log::line(&format!("network {name} down"));
        Ok(())
    }

    /// Connects for a tool; a thread sends the answer.
    pub(crate) fn connect(&self, client: &OwnedFd, to: SocketAddr) -> Result<(), String> {
        self.0.first().ok_or("no network is up: glovebox net up brings one up")?;
        questions::later(client, move || match TcpStream::connect_timeout(&to, PATIENCE) {
            Ok(stream) => (Answer::Connected, Some(stream.into())),
            Err(problem) => {
                (Answer::Refused { reason: format!("connecting to {to}: {problem}") }, None)
            }
        })
    }
}
