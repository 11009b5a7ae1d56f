//! A case of many acts, for `cargo xtask bench case`: makes one, verifies it, adds a note to it, takes its acts apart for
//! `minisign`.

mod made_up;

use std::path::Path;

use casebook::{Case, KeyText, Signer};
use made_up::Answer;

fn main() -> Answer<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", dir, acts] => {
            let (case, signer) = made_up::new_case(Path::new(dir))?;
            made_up::record(&case, &signer, 0..acts.parse()?)
        }
        ["verify", dir] => made_up::verify(Path::new(dir)),
        ["note", dir] => note(Path::new(dir)),
        ["apart", dir, out] => apart(Path::new(dir), Path::new(out)),
        _ => Err("many_acts make DIR ACTS | verify DIR | note DIR | apart DIR OUT".into()),
    }
}

fn note(dir: &Path) -> Answer<()> {
    let key = KeyText::new(std::fs::read_to_string(dir.join("case.key"))?);
    let signer = Signer::from_unprotected(&key)?;
    Case::open(dir)?.note(made_up::draft(0)?, &signer)?;
    Ok(())
}

/// Each act as a file, and its signature beside it.
fn apart(dir: &Path, out: &Path) -> Answer<()> {
    std::fs::create_dir(out)?;
    for (number, signed) in (1_u64..).zip(casebook::acts(dir)?) {
        let signed = signed?;
        let act = out.join(number.to_string());
        std::fs::write(&act, signed.act_bytes())?;
        std::fs::write(act.with_extension("minisig"), signed.act_signature_file())?;
    }
    Ok(())
}
