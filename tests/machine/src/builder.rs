//! Describes a machine and starts it.

use crate::accel::Accel;
use crate::disk::{Bus, Disk, controllers};
use crate::error::{Doing, Error, Result, machine};
use crate::firmware::Firmware;
use crate::process::Owned;
use crate::qmp::Qmp;
use crate::running::Machine;
use crate::serial::Serial;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// Ethernet address of the guest.
pub const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x67, 0x62, 0x78];
/// Device id of the boot medium.
pub const MEDIUM: &str = "medium";

/// What the medium looks like to the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediumKind {
    /// USB stick.
    Usb,
    /// USB stick with its write-protect switch on.
    UsbReadOnly,
    /// Virtual CD drive.
    Cd,
}

/// The medium to boot from.
#[derive(Debug, Clone)]
pub struct Medium {
    /// What it looks like.
    pub kind: MediumKind,
    /// Its image; a USB stick is attached writable unless its kind says otherwise.
    pub file: PathBuf,
}

/// How the machine comes up.
#[derive(Debug, Clone)]
pub enum Boot {
    /// QEMU loads a kernel, as a network boot would.
    Kernel {
        /// Kernel image.
        kernel: PathBuf,
        /// Initial root.
        initrd: PathBuf,
        /// Kernel command line.
        append: String,
    },
    /// Firmware loads from a medium, or from what else is attached.
    Firmware(Firmware, Option<Medium>),
}

/// What lies behind the network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    /// Nothing that answers.
    Closed,
    /// The host.
    Open,
}

/// A machine to be started.
#[derive(Debug, Clone)]
pub struct Builder {
    boot: Boot,
    memory_mib: u32,
    processors: u32,
    disks: Vec<Disk>,
    network: Option<Network>,
    canary: bool,
    vars: Option<PathBuf>,
    clock: String,
}

impl Builder {
    /// A machine with 1 GiB, one processor and nothing attached.
    #[must_use]
    pub fn new(boot: Boot) -> Self {
        Self {
            boot,
            memory_mib: 1024,
            processors: 1,
            disks: Vec::new(),
            network: None,
            canary: false,
            vars: None,
            clock: "utc".to_owned(),
        }
    }

    /// Sets the memory in MiB.
    #[must_use]
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Sets the number of processors.
    #[must_use]
    pub fn processors(mut self, count: u32) -> Self {
        self.processors = count;
        self
    }

    /// Attaches a disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Attaches several disks.
    #[must_use]
    pub fn disks(mut self, disks: impl IntoIterator<Item = Disk>) -> Self {
        self.disks.extend(disks);
        self
    }

    /// Adds a network card whose traffic is captured in `net.pcap`.
    #[must_use]
    pub fn network(mut self) -> Self {
        self.network = Some(Network::Closed);
        self
    }

    /// The same card, and a way to the host, which the guest knows as 10.0.2.2.
    #[must_use]
    pub fn open_network(mut self) -> Self {
        self.network = Some(Network::Open);
        self
    }

    /// Adds the port that canary programs write to, kept in `canary.txt`.
    #[must_use]
    pub fn canary(mut self) -> Self {
        self.canary = true;
        self
    }

    /// Uses this variable store instead of a fresh copy of the template.
    #[must_use]
    pub fn vars(mut self, file: PathBuf) -> Self {
        self.vars = Some(file);
        self
    }

    /// Sets the machine's clock at power-on, as in QEMU's `-rtc base=`.
    #[must_use]
    pub fn clock(mut self, base: &str) -> Self {
        base.clone_into(&mut self.clock);
        self
    }

    /// Starts the machine; logs, transcript and variable store go into `folder`.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU does not start and connect.
    pub fn start(self, folder: &Path) -> Result<Machine> {
        std::fs::create_dir_all(folder).doing("creating", folder)?;
        // Socket paths are limited to 107 bytes, so they do not live in `folder`.
        let sockets = tempfile::tempdir()
            .map_err(|e| Error::Machine(format!("making a folder for sockets: {e}")))?;
        let bind = |name: &str| {
            let path = sockets.path().join(name);
            UnixListener::bind(&path).doing("binding", &path)
        };
        let (qmp_socket, serial_socket) = (bind("qmp")?, bind("serial")?);
        let vars = self.variable_store(folder)?;
        let arguments = self.arguments(folder, sockets.path(), vars.as_deref())?;
        let log = folder.join("qemu.log");
        let lines = arguments.join(" \\\n  ");
        let path = folder.join("qemu.args");
        std::fs::write(&path, lines).doing("writing", &path)?;
        let mut process = Owned::start(QEMU, &arguments, &log)?;
        let serial = accept(&serial_socket, &mut process, &log)?;
        let qmp = accept(&qmp_socket, &mut process, &log)?;
        Ok(Machine {
            serial: Some(Serial::listen(serial)?),
            qmp: Qmp::open(qmp)?,
            process,
            folder: folder.to_owned(),
            vars,
            started: Instant::now(),
            gone: BTreeMap::new(),
            plugged: self.disks.len(),
        })
    }

    fn variable_store(&self, folder: &Path) -> Result<Option<PathBuf>> {
        let Boot::Firmware(firmware, _) = &self.boot else { return Ok(None) };
        if *firmware == Firmware::Bios {
            return Ok(None);
        }
        if let Some(given) = &self.vars {
            return Ok(Some(given.clone()));
        }
        let copy = folder.join("vars.fd");
        std::fs::copy(firmware.files()?.1, &copy).doing("copying variable store to", &copy)?;
        Ok(Some(copy))
    }

    fn arguments(&self, folder: &Path, sockets: &Path, vars: Option<&Path>) -> Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        let mut add = |parts: &[&str]| all.extend(parts.iter().map(|p| (*p).to_owned()));
        let secure = matches!(self.boot, Boot::Firmware(Firmware::UefiSecureBoot, _));
        add(&["-machine", if secure { "q35,smm=on" } else { "q35" }]);
        let kernel = match &self.boot {
            Boot::Kernel { kernel, .. } => Some(kernel.as_path()),
            Boot::Firmware(..) => None,
        };
        add(&Accel::choose(kernel).arguments());
        add(&["-m", &self.memory_mib.to_string(), "-smp", &self.processors.to_string()]);
        add(&["-nodefaults", "-display", "none", "-vga", "std"]);
        add(&["-rtc", &format!("base={}", self.clock)]);
        // A guest that powers off or resets stays there, so that its counters can be read.
        add(&["-action", "reboot=shutdown,shutdown=pause,panic=pause"]);
        let socket = |id: &str, name: &str| {
            format!("socket,id={id},server=off,path={}", sockets.join(name).display())
        };
        let transcript = folder.join("serial.log");
        let serial = format!("{},logfile={}", socket("ser", "serial"), transcript.display());
        add(&["-chardev", &serial, "-serial", "chardev:ser"]);
        add(&["-chardev", &socket("ctl", "qmp"), "-mon", "chardev=ctl,mode=control"]);
        let buses: Vec<Bus> = self.disks.iter().map(|d| d.bus).collect();
        for controller in controllers(&buses) {
            add(&["-device", &controller.to_string()]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let place = buses[..number].iter().filter(|b| **b == disk.bus).count();
            let device = disk.device(place);
            add(&["-blockdev", &disk.blockdev().to_string(), "-device", &device.to_string()]);
        }
        if let Some(network) = self.network {
            let dump = format!("filter-dump,id=dump0,netdev=net0,file={}", pcap(folder).display());
            let mac = MAC.map(|b| format!("{b:02x}")).join(":");
            let restrict = if network == Network::Closed { "on" } else { "off" };
            let user = format!("user,id=net0,restrict={restrict}");
            add(&["-netdev", &user, "-object", &dump]);
            // Without its option ROM, so that every frame is the booted system's.
            add(&["-device", &format!("e1000e,netdev=net0,romfile=,mac={mac}")]);
        }
        if self.canary {
            let file = format!("file,id=can,path={}", folder.join("canary.txt").display());
            let port = "virtserialport,chardev=can,name=org.glovebox.canary";
            add(&["-chardev", &file, "-device", "virtio-serial-pci", "-device", port]);
        }
        self.boot_arguments(&mut all, vars)?;
        Ok(all)
    }

    fn boot_arguments(&self, all: &mut Vec<String>, vars: Option<&Path>) -> Result<()> {
        let mut add = |parts: &[&str]| all.extend(parts.iter().map(|p| (*p).to_owned()));
        match &self.boot {
            Boot::Kernel { kernel, initrd, append } => {
                let (kernel, initrd) = (kernel.to_string_lossy(), initrd.to_string_lossy());
                add(&["-kernel", &kernel, "-initrd", &initrd, "-append", append]);
            }
            Boot::Firmware(firmware, medium) => {
                if let Some(vars) = vars {
                    let code = firmware.files()?.0;
                    let flash = |unit, file: &Path, extra| {
                        format!("if=pflash,format=raw,unit={unit},file={}{extra}", file.display())
                    };
                    add(&["-drive", &flash(0, &code, ",readonly=on")]);
                    add(&["-drive", &flash(1, vars, "")]);
                    if *firmware == Firmware::UefiSecureBoot {
                        add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
                    }
                }
                if let Some(medium) = medium {
                    let (node, device) = medium_arguments(medium);
                    add(&["-blockdev", &node.to_string(), "-device", &device.to_string()]);
                }
            }
        }
        Ok(())
    }
}

fn medium_arguments(medium: &Medium) -> (Value, Value) {
    let protect = medium.kind != MediumKind::Usb;
    let node = json!({
        "driver": "raw", "node-name": "n-medium", "read-only": protect, "discard": "unmap",
        "file": {
            "driver": "file", "filename": medium.file, "read-only": protect, "discard": "unmap"
        },
    });
    let mut device = json!({ "id": MEDIUM, "drive": "n-medium", "bootindex": 0 });
    if medium.kind == MediumKind::Cd {
        device["driver"] = json!("ide-cd");
        device["bus"] = json!("ide.0");
    } else {
        device["driver"] = json!("usb-storage");
        device["bus"] = json!("xhci.0");
        device["serial"] = json!("STICK");
        device["removable"] = json!(true);
    }
    (node, device)
}

/// Where the traffic of a machine started in `folder` is captured.
#[must_use]
pub fn pcap(folder: &Path) -> PathBuf {
    folder.join("net.pcap")
}

fn accept(socket: &UnixListener, process: &mut Owned, log: &Path) -> Result<UnixStream> {
    let lost = |e| Error::Machine(format!("waiting for QEMU to connect: {e}"));
    socket.set_nonblocking(true).map_err(lost)?;
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match socket.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(lost)?;
                return Ok(stream);
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(lost(e)),
        }
        if process.ended().is_some() || Instant::now() > end {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            return machine(format!("QEMU did not start: {}", said.trim()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
