//! What `triage` and `verify` look at: every installed system on a disk, or the one tree that was addressed; and
//! what of the disk nobody could look at.

use std::sync::Arc;

use evidence::address::Address;
use evidence::fs::{FileSystem, MountTree};
use evidence::probe::ContentClass;

use crate::failure::Failure;
use crate::opened::Opened;

/// The report on one tree.
pub(crate) struct Examined<Report> {
    /// Where the tree is addressed.
    pub(crate) address: String,
    /// What was found in it.
    pub(crate) report: Report,
}

/// Looks at a tree. It also gets what the system's own fstab puts there and could not be reached (`None` where a tree
/// was addressed and nobody put a system together), and the address.
pub(crate) type Examiner<'a, Report> =
    dyn FnMut(&dyn FileSystem, Option<Vec<String>>, &str) -> Result<Report, Failure> + 'a;

/// Has `examine` look at each tree.
///
/// # Errors
/// If there is no installed system, the address leads nowhere, or `examine` fails.
pub(crate) fn examine<Report>(
    opened: &Opened,
    address: &Address,
    examine: &mut Examiner<'_, Report>,
) -> Result<Vec<Examined<Report>>, Failure> {
    if address.label.is_some() || address.object.is_some() {
        let found = opened.tree(address)?.find(address.object.as_ref())?;
        // The tree below a directory is a root of its own.
        let below = MountTree::new(Arc::clone(&found.tree.fs), found.node);
        let report = examine(&below, None, &found.tree.address)?;
        return Ok(vec![Examined { address: found.tree.address, report }]);
    }
    let mut examined = Vec::new();
    for system in opened.systems() {
        let missing = |one: &evidence::system::Unreached| format!("{} ({})", one.path, one.why);
        let unreached = system.unreached.iter().map(missing).collect();
        let address = format!("{}:{}", opened.name, system.name);
        let report = examine(&*system.tree, Some(unreached), &address)?;
        examined.push(Examined { address, report });
    }
    if !examined.is_empty() {
        return Ok(examined);
    }
    let text = format!("no installed system that can be read was found on {}", opened.name);
    let mut failure = Failure::new(text);
    for (address, problem) in opened.stack.problems() {
        failure = failure.hint(format!("problem on {address}: {problem}"));
    }
    Err(failure.hint(format!("glovebox ls {}", opened.name)))
}

/// Volumes that hold something this version cannot read files from: said, never passed over. Empty where a
/// tree was addressed, since then nothing else was asked for.
pub(crate) fn unread(opened: &Opened, address: &Address) -> Vec<String> {
    if address.label.is_some() {
        return Vec::new();
    }
    let stack = &opened.stack;
    let closed = stack.closed.iter().map(|one| format!("{} ({})", one.address, one.description));
    let unread = stack.volumes().filter(|id| !stack.is_readable(*id)).filter_map(|id| {
        let deciding = stack.volume(id)?.contents.first()?;
        let whole = matches!(deciding.kind.class(), ContentClass::FileSystem | ContentClass::Swap);
        whole.then(|| format!("{} ({:?})", stack.address(id), deciding.kind))
    });
    closed.chain(unread).collect()
}
