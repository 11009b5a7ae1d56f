//! Findings as comma-separated values (RFC 4180), for a spreadsheet.
//!
//! What an intruder wrote must not become a formula there: a cell that begins like one gets an apostrophe in front, as a
//! person would type it.

use serde_json::Value;
use triage::Finding;

/// Names of the columns.
const COLUMNS: [&str; 21] = [
    "severity",
    "confidence",
    "rule",
    "title",
    "address",
    "path",
    "line",
    "offset_bytes",
    "rights",
    "modified",
    "changed",
    "born",
    "sha256",
    "package",
    "activation",
    "who_runs",
    "when_runs",
    "what_runs",
    "excerpt",
    "detail",
    "finding_id",
];

/// The first line.
pub(super) fn head() -> String {
    record(&COLUMNS.map(str::to_owned))
}

/// A finding of the system at `address`.
pub(super) fn line(address: &str, finding: &Finding) -> String {
    // The words are those of the JSON form.
    let value = serde_json::to_value(finding).unwrap_or_default();
    record(&COLUMNS.map(|column| {
        let found = match column {
            "address" => return guarded(address),
            "modified" | "changed" | "born" => {
                value.get("times").and_then(|times| times.get(column))
            }
            column => value.get(column),
        };
        match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => guarded(text),
            Some(other) => guarded(&other.to_string()),
        }
    }))
}

fn guarded(text: &str) -> String {
    let like_a_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("{}{text}", if like_a_formula { "'" } else { "" })
}

/// One record with its end.
fn record(cells: &[String]) -> String {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Memory takes everything: nothing can fail here.
    let _written = writer.write_record(cells);
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{guarded, record};

    /// Vouched for by Python's `csv`.
    #[test]
    fn python_reads_the_cells_back() {
        let texts = ["plain", "a,b", "say \"x\"", "two\r\nlines", "", "=1+1", "-rf", "ü; x"];
        let row = record(&texts.map(guarded));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("row.csv");
        std::fs::write(&file, row).unwrap();
        let program = "import csv,sys,json; \
            print(json.dumps(list(csv.reader(open(sys.argv[1],newline=''),strict=True))))";
        let out = std::process::Command::new("python3").args(["-c", program]).arg(&file).output();
        let Ok(out) = out else {
            eprintln!("skipped: no python3");
            return;
        };
        let read: Vec<Vec<String>> = serde_json::from_slice(&out.stdout).unwrap();
        let wanted = texts.map(|text| {
            if text.starts_with(['=', '-']) { format!("'{text}") } else { text.to_owned() }
        });
        assert_eq!(read, [wanted]);
    }
}
