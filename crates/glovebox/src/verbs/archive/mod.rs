//! `glovebox archive`: what vendors signed, gathered on the desk for the day it is needed.

mod add_mirror;
mod add_rpm;
pub(crate) mod advisories;
mod catalogue;
mod golden;
mod init;
mod list;
mod media;
mod publish;
mod sign;
pub(crate) mod trust;
mod verify;

use crate::exit::Exit;
use crate::failure::Failure;

/// Keep what vendors signed, with a signed list of every file in it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make an empty archive in a folder
    Init(init::Args),
    /// Add packages of a Debian mirror, checked up to a pinned key
    AddMirror(add_mirror::Args),
    AddRpm(add_rpm::Args),
    /// Add a vendor's file, such as an ISO, with its signed digests
    AddMedia(media::Args),
    /// Keep an own master image with where it comes from
    AddMaster(media::MasterArgs),
    AddAdvisories(advisories::AddArgs),
    Advisories(advisories::Args),
    /// List every file in every package of the archive
    Catalogue(catalogue::Args),
    /// Keep a fresh install's manifest, whose files are explained
    AddGolden(golden::Args),
    /// Keep a signed baseline of a system (glovebox baseline create)
    AddBaseline(golden::BaselineArgs),
    /// Sign the list of everything in the archive; its version grows
    Sign(sign::Args),
    /// Check the whole archive and add the signature of a further key
    Cosign(sign::CosignArgs),
    /// Keep a key that takes the place of the one that signed it
    AddKey(sign::AddKeyArgs),
    /// Check the whole archive: our list and the vendors' signatures
    Verify(verify::Args),
    /// List the packages of the archive
    List(list::Args),
    /// Write it to a plain directory that a web server can serve
    Publish(publish::Args),
    /// Make an archive of what was published
    Collect(publish::CollectArgs),
    /// Show how old the archive and its mirrors are
    Age(list::AgeArgs),
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If it cannot be done or is refused.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::Init(args) => args.run(),
            What::AddMirror(args) => args.run(),
            What::AddRpm(args) => args.run(),
            What::AddAdvisories(args) => args.run(),
            What::Advisories(args) => args.run(),
            What::AddMedia(args) => args.run(),
            What::AddMaster(args) => args.run(),
            What::Catalogue(args) => args.run(),
            What::AddGolden(args) => args.run(),
            What::AddBaseline(args) => args.run(),
            What::Sign(args) => args.run(),
            What::Cosign(args) => args.run(),
            What::AddKey(args) => args.run(),
            What::Verify(args) => args.run(),
            What::List(args) => args.run(),
            What::Publish(args) => args.run(),
            What::Collect(args) => args.run(),
            What::Age(args) => args.run(),
        }
    }
}
