//! `cargo xtask test`: everything, from unit tests to the booted image, with a summary of times.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use xshell::{Shell, cmd};

use crate::host;
use crate::{build, files, published, sample};

/// Options of a test run
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Only the scenarios that show most in the least time
    #[arg(long)]
    quick: bool,
    /// Only the unit tests
    #[arg(long, conflicts_with_all = ["quick", "scenario"])]
    units: bool,
    /// Only scenarios whose name contains this text (no unit tests)
    #[arg(long, value_name = "TEXT")]
    scenario: Option<String>,
}

/// Runs every step; goes on after a failed one where the next does not need it.
pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&sample::TOOLS)?;
    host::need(&[host::Tool::Oracles])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    let mut steps = Steps::default();
    if args.scenario.is_none() {
        let mut places = Vec::new();
        steps.run("published", || {
            places = published::fetch()?.environment(&root);
            Ok(())
        });
        steps.run("unit tests", || {
            Ok(cmd!(sh, "cargo test --quiet --no-fail-fast --workspace --exclude scenarios")
                .envs(places)
                .run()?)
        });
    }
    if args.units {
        return steps.summary();
    }
    if args.scenario.is_none() && !args.quick {
        // Made apart, so that the table of times tells the guest's work from ours.
        let _ = steps.run("volumes", || machine::volumes::folder().map(drop).map_err(chain))
            && steps.run("volume tests", || {
                Ok(cmd!(sh, "cargo test --quiet --workspace --test volumes")
                    .env("GLOVEBOX_VM", "1")
                    .run()?)
            });
    }
    let image = build::Args::of("glovebox");
    let built = steps.run("image", || build::run(&image))
        && steps.run("test image", || build::run(&build::Args::of("test")))
        && steps.run("sample disk", || machine::sample::disk().map(drop).map_err(chain))
        && steps.run("zoo", || machine::zoo::folder().map(drop).map_err(chain));
    if built {
        let out = image.out_folder(&root);
        // Of the whole workspace, so that the features are those of the unit tests and nothing is
        // compiled twice.
        let filter = args.scenario.as_deref();
        steps.run("scenarios", || {
            let _quick = args.quick.then(|| sh.push_env("GLOVEBOX_QUICK", "1"));
            Ok(cmd!(sh, "cargo test --workspace --test scenarios -- {filter...}")
                .env("GLOVEBOX_OUT", &out)
                .run()?)
        });
    }
    steps.summary()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` wants")]
fn chain(error: machine::Error) -> anyhow::Error {
    anyhow!(error.chain())
}

#[derive(Default)]
struct Steps(Vec<(&'static str, Duration, Option<String>)>);

impl Steps {
    /// Runs one step and notes how it went.
    fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> bool {
        eprintln!("-- {name}");
        let begun = Instant::now();
        let error = step().err().map(|e| format!("{e:#}"));
        if let Some(text) = &error {
            eprintln!("error: {name}: {text}");
        }
        self.0.push((name, begun.elapsed(), error.clone()));
        error.is_none()
    }

    /// Prints the times and fails when a step did.
    fn summary(&self) -> Result<()> {
        println!("\n{:<14} {:>9}  result", "step", "seconds");
        for (name, took, error) in &self.0 {
            let result = error.as_deref().map_or("passed", |_| "FAILED");
            println!("{name:<14} {:>9.1}  {result}", took.as_secs_f64());
        }
        let whole: Duration = self.0.iter().map(|(_, took, _)| *took).sum();
        println!("{:<14} {:>9.1}", "whole", whole.as_secs_f64());
        let failed: Vec<&str> =
            self.0.iter().filter(|(.., e)| e.is_some()).map(|(name, ..)| *name).collect();
        if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;
    use anyhow::bail;

    #[test]
    fn one_failed_step_fails_the_run_and_is_named() {
        let mut steps = Steps::default();
        assert!(steps.run("good", || Ok(())));
        assert!(!steps.run("bad", || bail!("no")));
        let text = steps.summary().map_err(|e| e.to_string());
        assert_eq!(text, Err("failed: bad".to_owned()));
    }
}
