//! The rules, one file for each group of things they look at.

mod accounts;
mod config;
mod files;
mod packages;
mod places;
mod schedule;
mod shells;
mod ssh;

use crate::context::Context;

/// Applies every rule.
pub(crate) fn apply(context: &mut Context<'_>) {
    let rules: &[fn(&mut Context<'_>)] = &[
        accounts::apply,
        ssh::apply,
        schedule::apply,
        config::apply,
        shells::apply,
        files::apply,
        packages::apply,
        places::apply,
    ];
    for rule in rules {
        rule(context);
    }
}
