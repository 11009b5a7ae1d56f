//! `cargo xtask build`: from the description in `image/` to everything in the output folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::config::{self, Image};
use crate::debs::{self, Debs, Pinning};
use crate::esp::Entry;
use crate::host::{self, Tool};
use crate::identity::{self, Contents, Identity};
use crate::sealed::Tree;
use crate::userland::{self, Reuse};
use crate::{contents, disk, files, initrd, modules, own, sbom, sums, trust};

const MIB: f64 = 1_048_576.0;

/// Options of a build.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Image to build: the name of a file `image/NAME.toml`
    #[arg(default_value = "glovebox")]
    pub(crate) image: String,
    /// Folder for the outputs [default: `out`, or `out/NAME` for another image]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Refuse to take other package versions than those in `image/inputs.lock`
    #[arg(long)]
    pub(crate) locked: bool,
    /// Debian mirror to use instead of the one this machine is set up with
    #[arg(long, value_name = "URI")]
    pub(crate) mirror: Option<String>,
    /// Unencrypted minisign key to sign with [default: a throw-away key]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Build the registry's programs again although the cache has them
    #[arg(long)]
    pub(crate) fresh_userland: bool,
    #[command(flatten)]
    pub(crate) trust: trust::Trust,
}

impl Args {
    /// A plain build of one image into its usual folder, as other commands want it.
    pub(crate) fn of(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            out: None,
            locked: false,
            mirror: None,
            key: None,
            fresh_userland: false,
            trust: trust::Trust::default(),
        }
    }

    /// Where the outputs go.
    pub(crate) fn out_folder(&self, root: &Path) -> PathBuf {
        match &self.out {
            Some(path) => path.clone(),
            None if self.image == "glovebox" => root.join("out"),
            None => root.join("out").join(&self.image),
        }
    }
}

/// Builds and prints a table of sizes.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = files::project_root()?;
    let image_folder = root.join("image");
    let image = config::image(&image_folder, &args.image)?;
    host::need(&[Tool::Apt, Tool::DpkgDeb, Tool::StaticCLibrary])?;
    let pinning = if args.locked { Pinning::Locked } else { Pinning::Renew };
    let debs = debs::fetch(
        &image.debian,
        &image_folder.join("inputs.lock"),
        pinning,
        args.mirror.as_deref(),
    )?;
    let out = args.out_folder(&root);
    files::make_folder(&out)?;
    let work = tempfile::tempdir().context("making a work folder")?;
    let reuse = if args.fresh_userland { Reuse::Fresh } else { Reuse::Cached };
    // Before minutes of building: a key that is none says so.
    let trusted = args.trust.files()?;
    let made = assemble(&root, &image, &debs, work.path(), reuse, trusted)?;
    write_outputs(&out, &made, args.key.as_deref(), image.size_limit_mib)
}

/// Everything a build makes, by output file name.
struct Made {
    identity: Identity,
    outputs: BTreeMap<&'static str, Vec<u8>>,
    root_bytes: usize,
    module_count: usize,
}

fn assemble(
    root: &Path,
    image: &Image,
    debs: &Debs,
    work: &Path,
    reuse: Reuse,
    trusted: Vec<(String, Vec<u8>)>,
) -> Result<Made> {
    let image_folder = root.join("image");
    let userland = userland::build(&config::userland(&image_folder)?, image.epoch_s, reuse)?;
    let programs = own::build(root, image)?;

    let tables = modules::tables(debs)?;
    let selection = tables.select(&config::modules(&image_folder)?)?;
    for (module, need) in &selection.dropped {
        eprintln!("left out {module}: needs {need}, which is excluded");
    }
    let mut tree = Tree::assemble(image, &image_folder, &programs, &userland)?;
    tree.add_modules(debs, &tables, &selection)?;
    for (path, bytes) in trusted {
        tree.file(&path, 0o644, bytes)?;
    }

    let (kernel_root, kernel_release) = debs.kernel()?;
    let kernel = files::read(&kernel_root.join(format!("boot/vmlinuz-{kernel_release}")))?;
    let version = env!("CARGO_PKG_VERSION");
    let kernel_line = image.kernel_line.join(" ");
    let grub_config = files::read_text(&image_folder.join("grub.cfg"))?
        .replace("@VERSION@", version)
        .replace("@KERNEL_LINE@", &kernel_line);
    let mut boot_files = boot_files(debs, &grub_config)?;

    let mut contents = Contents::default();
    contents.add("epoch", &image.epoch_s.to_le_bytes());
    contents.add("kernel", &kernel);
    contents.add("init", &programs.init);
    for (path, bytes) in &boot_files {
        contents.add(&format!("esp {path}"), bytes);
    }
    for package in &debs.lock().package {
        contents.add(&format!("package {}", package.name), package.sha256.as_bytes());
    }
    tree.describe(&mut contents);
    let image_id = contents.image_id();
    let mut identity = Identity {
        name: image.name.clone(),
        version: version.to_owned(),
        disk_guid: identity::guid(&image_id, "disk").to_string(),
        image_id,
        epoch_s: image.epoch_s,
        kernel_release,
        kernel_line,
        kernel_sha256: files::sha256(&kernel),
        root_sha256: None,
    };
    tree.file("/etc/glovebox/identity.json", 0o644, identity.to_json()?)?;
    let sealed = tree.pack(debs, work, image.epoch_s, &identity.image_id)?;
    identity.root_sha256 = Some(files::sha256(&sealed));

    let members = initrd::members(debs, &selection, &programs.init, &identity.to_json()?, &sealed)?;
    let initrd = initrd::write(image, &members)?;
    boot_files.push(("boot/vmlinuz".into(), kernel.clone()));
    boot_files.push(("boot/initrd.img".into(), initrd.clone()));
    let disk = disk::build(debs, work, &boot_files, &identity)?;

    let list = contents::list(&boot_files, &members, &tree);
    let mut packages: Vec<String> = image.binary.iter().map(|b| b.package.clone()).collect();
    packages.push(image.init.package.clone());
    let mut crates = userland::workspace_crates(root, &packages)?;
    crates.extend(userland.iter().flat_map(|program| program.crates.iter().cloned()));
    let runtime = own::runtime_libraries()?;
    let bill = sbom::document(&identity, debs.lock(), &crates, &runtime);
    let mut bill = serde_json::to_vec_pretty(&bill)?;
    bill.push(b'\n');

    let outputs = BTreeMap::from([
        ("contents.txt", list.into_bytes()),
        ("glovebox.img", disk.clone()),
        // One image is both; two names, because people and tools go by the suffix.
        ("glovebox.iso", disk),
        ("identity.json", identity.to_json()?),
        ("initrd.img", initrd),
        ("sbom.cdx.json", bill),
        ("vmlinuz", kernel),
    ]);
    Ok(Made { identity, outputs, root_bytes: sealed.len(), module_count: selection.modules.len() })
}

/// Files of the ESP but for kernel and initrd.
fn boot_files(debs: &Debs, grub_config: &str) -> Result<Vec<Entry>> {
    let shim = debs.root("shim-signed")?.join("usr/lib/shim/shimx64.efi.signed");
    let grub = debs
        .root("grub-efi-amd64-signed")?
        .join("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed");
    let config = grub_config.as_bytes().to_vec();
    // No MokManager and no fallback loader: both exist to write firmware variables, and the machine's
    // firmware is evidence too.
    Ok(vec![
        ("EFI/BOOT/BOOTX64.EFI".into(), files::read(&shim)?),
        ("EFI/BOOT/grubx64.efi".into(), files::read(&grub)?),
        // The configuration at every path that a signed GRUB may look at, so that none is left to
        // its own search.
        ("EFI/BOOT/grub.cfg".into(), config.clone()),
        ("EFI/debian/grub.cfg".into(), config.clone()),
        ("boot/grub/grub.cfg".into(), config),
    ])
}

fn write_outputs(out: &Path, made: &Made, key: Option<&Path>, limit_mib: u64) -> Result<()> {
    let mut digests = Vec::new();
    for (name, bytes) in &made.outputs {
        files::write(&out.join(name), bytes, 0o644)?;
        digests.push(((*name).to_owned(), files::sha256(bytes)));
    }
    let text = sums::list(&digests);
    let trusted =
        format!("{} {} {}", made.identity.name, made.identity.version, made.identity.image_id);
    let (signature, public) = sums::sign(&text, key, &trusted)?;
    files::write(&out.join("SHA256SUMS"), text.as_bytes(), 0o644)?;
    files::write(&out.join("SHA256SUMS.minisig"), signature.as_bytes(), 0o644)?;
    files::write(&out.join("minisign.pub"), public.as_bytes(), 0o644)?;

    println!("image {} {}", made.identity.name, made.identity.image_id);
    println!("{:<16} {:>12} {:>9}", "output", "bytes", "MiB");
    let row = |name: &str, size: usize| {
        println!("{name:<16} {size:>12} {:>9.1}", size as f64 / MIB);
    };
    for (name, bytes) in &made.outputs {
        row(name, bytes.len());
    }
    row("(sealed root)", made.root_bytes);
    println!("{} kernel modules; outputs are in {}", made.module_count, out.display());
    let largest = made.outputs.values().map(Vec::len).max().unwrap_or_default();
    ensure!(
        largest as u64 <= limit_mib << 20,
        "the image is larger than the {limit_mib} MiB its description allows"
    );
    Ok(())
}
