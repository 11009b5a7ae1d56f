//! The rules, one file for each group of things they look at.

mod accounts;
mod boot;
mod config;
mod containers;
mod efi;
mod files;
mod git;
mod hidden;
mod initramfs;
mod libraries;
mod lines;
mod logs;
mod modules;
mod packages;
mod places;
mod schedule;
mod shells;
mod ssh;
mod units;
mod yara;

use crate::context::Context;

/// Applies every rule.
pub(crate) fn apply(context: &mut Context<'_>) {
    let rules: &[fn(&mut Context<'_>)] = &[
        accounts::apply,
        ssh::apply,
        schedule::apply,
        units::apply,
        boot::apply,
        efi::apply,
        initramfs::apply,
        git::apply,
        containers::apply,
        lines::apply,
        config::apply,
        shells::apply,
        files::apply,
        hidden::apply,
        packages::apply,
        modules::apply,
        libraries::apply,
        logs::apply,
        places::apply,
        yara::apply,
    ];
    for rule in rules {
        rule(context);
    }
}

/// Applies the examiner's own rules, which ask for no kind of system.
pub(crate) fn apply_yara(context: &mut Context<'_>) {
    yara::apply(context);
}
