//! `glovebox net`: the network of the stick, which is silent until the examiner says otherwise, in an act of the case.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use casebook::{Outcome, OutcomeKind};
use guard::{Error, Guard, Interface, NetUp};
use hashing::escape_name;
use serde::Serialize;
use serde_json::{Value, json};

use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, table};
use crate::session::Chosen;

/// Where the kernel shows its interfaces.
const INTERFACES: &str = "/sys/class/net";

/// Bring one network interface up or down, as an act of the case
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the network interfaces; sends nothing
    Status(StatusArgs),
    /// Bring one interface up under a fixed address
    Up(UpArgs),
    /// Take one interface down
    Down(DownArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct UpArgs {
    /// The interface, such as eth0
    interface: Interface,
    /// Its address and the length of the prefix, such as 192.0.2.7/24
    #[arg(long, value_name = "ADDRESS/BITS", value_parser = address)]
    address: (Ipv4Addr, u8),
    /// Where packets to other networks go
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<Ipv4Addr>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct DownArgs {
    /// The interface, such as eth0
    interface: Interface,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

fn address(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let parsed = text.split_once('/').and_then(|(address, bits)| {
        let bits = bits.parse().ok().filter(|bits| (1..=32).contains(bits))?;
        Some((address.parse().ok()?, bits))
    });
    parsed.ok_or_else(|| "an IPv4 address and a prefix are needed, such as 192.0.2.7/24".to_owned())
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If there is no broker where one is needed, no case is in use, or the kernel refuses.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::Status(args) => {
                let all = interfaces(Path::new(INTERFACES));
                args.format.record("interfaces", &json!({ "interfaces": all }), || shown(&all))?;
                Ok(Exit::Clean)
            }
            What::Up(args) => args.run(),
            What::Down(args) => args.run(),
        }
    }
}

/// One interface as the kernel shows it.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Shown {
    name: String,
    /// Hardware address.
    hardware: String,
    /// Up by somebody's word; the kernel's flag, whether or not a cable is in.
    is_up: bool,
    /// `up`, `down`, `unknown`: whether the other end is there.
    state: String,
}

fn interfaces(folder: &Path) -> Vec<Shown> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<Shown> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| name != "lo")?;
            let text = |file: &str| {
                let text = fs::read(entry.path().join(file)).unwrap_or_default();
                escape_name(text.trim_ascii())
            };
            let flags = text("flags");
            let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
            let (hardware, state) = (text("address"), text("operstate"));
            Some(Shown {
                name: escape_name(name.as_bytes()),
                hardware,
                is_up: flags & 1 == 1,
                state,
            })
        })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn shown(all: &[Shown]) -> String {
    if all.is_empty() {
        return "no network interface".to_owned();
    }
    let heading = ["interface", "hardware address", "set", "link"].map(str::to_owned).to_vec();
    let rows = all.iter().map(|one| {
        let set = if one.is_up { "UP" } else { "down" };
        vec![one.name.clone(), one.hardware.clone(), set.to_owned(), one.state.clone()]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

impl UpArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let (address, prefix_bits) = self.address;
        let arguments = json!({
            "interface": self.interface,
            "address": address,
            "prefix_bits": prefix_bits,
            "gateway": self.gateway,
        });
        let asked = NetUp {
            interface: self.interface.clone(),
            address,
            prefix_bits,
            gateway: self.gateway,
        };
        act(&self.chosen, "net up", &arguments, |guard| guard.net_up(asked))?;
        self.format.record("net-up", &arguments, || {
            format!(
                "{} is UP as {address}/{prefix_bits}. It answers on its network now; nothing listens.\n                 To take it down: glovebox net down {}",
                self.interface.as_str(),
                self.interface.as_str()
            )
        })?;
        Ok(Exit::Clean)
    }
}

impl DownArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({ "interface": self.interface });
        let interface = self.interface.clone();
        act(&self.chosen, "net down", &arguments, |guard| guard.net_down(interface))?;
        let text = || format!("{} is down.", self.interface.as_str());
        self.format.record("net-down", &arguments, text)?;
        Ok(Exit::Clean)
    }
}

/// An act of the case from its first moment: a network that was up belongs into the record, also when it failed.
fn act(
    chosen: &Chosen,
    verb: &str,
    arguments: &Value,
    work: impl FnOnce(&Guard) -> Result<(), Error>,
) -> Result<(), Failure> {
    let guard = Guard::connect()?;
    let (case, signer) = chosen.open()?;
    let who = acting::who(&case);
    let draft = acting::draft(&who, &guard, verb, arguments.clone(), Vec::new())?;
    let act = case.begin(draft, &signer)?;
    let done = work(&guard)
        .map_err(|problem| Failure::from(problem).hint("glovebox net status lists the interfaces"));
    let outcome = match &done {
        Ok(()) => Outcome::done(),
        Err(failure) => Outcome::new(OutcomeKind::Failed, failure.text()),
    };
    act.finish(acting::end(&guard, outcome))?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        assert_eq!(address("192.0.2.7/24"), Ok((Ipv4Addr::new(192, 0, 2, 7), 24)));
        for wrong in ["192.0.2.7", "192.0.2.7/0", "192.0.2.7/33", "fe80::1/64", "x/8", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn interfaces_are_listed_from_the_kernels_files() {
        let folder = tempfile::tempdir().unwrap();
        for (name, flags) in [("lo", "0x9"), ("eth1", "0x1002"), ("eth0", "0x1003")] {
            let at = folder.path().join(name);
            fs::create_dir(&at).unwrap();
            fs::write(at.join("flags"), flags).unwrap();
            fs::write(at.join("address"), "52:54:00:00:00:01\n").unwrap();
            fs::write(at.join("operstate"), "down\n").unwrap();
        }
        let all = interfaces(folder.path());
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[0].is_up), ("eth0", true));
        assert_eq!((all[1].name.as_str(), all[1].is_up), ("eth1", false));
        assert!(shown(&all).contains("52:54:00:00:00:01"));
    }
}
