//! `glovebox case clock`: how wrong the machine's clocks are. They are evidence and never set.

use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Chosen;
use crate::{acting, clock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The true time now, by your own watch (RFC 3339, UTC)
    #[arg(long, value_name = "TIME")]
    now: String,
    /// How far off your watch and typing may be, in milliseconds
    #[arg(long, default_value_t = 2000, value_name = "MS")]
    error_ms: u64,
    /// Where the true time is from
    #[arg(long, default_value = "the examiner's watch", value_name = "TEXT")]
    source: String,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

impl Args {
    /// Compares and records.
    ///
    /// # Errors
    /// If the text is no time, or the case does not take the act.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        // First of all: a passphrase typed in between would count as an error of the clock.
        let compared = clock::compare(&self.now, self.error_ms)?;
        let arguments = json!({ "source": self.source, "compared": compared });
        let done = acting::record(&self.chosen, "case clock", None, |_| arguments)?;
        self.format.record("case-clock", &compared, || {
            let one = |name: &str, offset: &clock::Offset| {
                format!(
                    "\n{name}: add {} ms for the true time, known to {} ms",
                    offset.offset_ms, offset.error_ms
                )
            };
            let mut text = format!("act {}: clocks compared; none was set", done.act);
            text.push_str(&one("system clock", &compared.system));
            match &compared.firmware {
                Some(offset) => text.push_str(&one("firmware clock", offset)),
                None => text.push_str("\nfirmware clock: the kernel shows none"),
            }
            text
        })?;
        Ok(Exit::Clean)
    }
}
