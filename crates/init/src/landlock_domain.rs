//! The Landlock domain of the tools: what may be read, written and executed, and nothing else.
//!
//! Execution is a right of the sealed root's `/bin` alone, so nothing that comes from evidence can
//! be run, wherever somebody puts it. No network rule is given: no connection can be made.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::boot::HARMLESS;
use crate::enter::path_descriptor;

/// The newest interface we ask for; an older kernel enforces what it knows, and the status says so.
const WANTED: ABI = ABI::V6;

/// Folders for reading.
const READ: [&str; 8] = ["/bin", "/lib", "/etc", "/proc", "/sys", "/run", "/tmp", "/media"];
/// Folders for writing: the session's own and the examiner's media.
const WRITE: [&str; 3] = ["/run/session", "/tmp", "/media"];

/// Puts the calling process and all it starts into the domain.
pub(crate) fn enter() -> Result<String, String> {
    let status = build().map_err(|problem| format!("entering the Landlock domain: {problem}"))?;
    match status {
        RulesetStatus::FullyEnforced => {
            Ok("execution from /bin only, writing to media and memory only, no network".to_owned())
        }
        RulesetStatus::PartiallyEnforced => {
            Ok("enforced in part: this kernel knows an older interface".to_owned())
        }
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".to_owned()),
    }
}

fn build() -> Result<RulesetStatus, RulesetError> {
    let all = AccessFs::from_all(WANTED);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    // No devices, sockets or pipes are made, and nothing written can be executed.
    let write = AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::MakeFifo
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?;
    let mut wanted: Vec<(String, BitFlags<AccessFs>)> =
        vec![("/".into(), AccessFs::ReadDir.into()), ("/bin".into(), AccessFs::Execute.into())];
    wanted.extend(READ.iter().map(|path| ((*path).to_owned(), read)));
    wanted.extend(WRITE.iter().map(|path| ((*path).to_owned(), read | write)));
    wanted.extend(HARMLESS.iter().map(|(name, _, _)| (format!("/dev/{name}"), device)));
    // The terminal itself, so that /dev/stderr and its like can be opened.
    wanted.push(("/proc/self/fd/0".into(), device));
    // What is not there needs no rule: no rule means no access.
    let there = wanted.into_iter().filter_map(|(path, access)| {
        path_descriptor(&path).ok().map(|descriptor| Ok(PathBeneath::new(descriptor, access)))
    });
    let rules = rules.add_rules(there.collect::<Vec<Result<_, RulesetError>>>())?;
    Ok(rules.restrict_self()?.ruleset)
}
