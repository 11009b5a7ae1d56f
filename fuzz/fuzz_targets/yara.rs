//! Content of files under rules that use every module, so that the parsers of programs in the matching engine are reached.
#![no_main]

use std::sync::LazyLock;

use triage::YaraRules;

const RULES: &str = r#"
import "elf" import "pe" import "macho" import "dotnet" import "dex" import "hash" import "math"
rule modules { condition: elf.number_of_sections > 0 or pe.number_of_sections > 0 or macho.cputype > 0
  or dotnet.number_of_streams > 0 or dex.number_of_fields > 0 or math.entropy(0, filesize) > 7.9
  or hash.md5(0, filesize) == "0" }
rule strings { strings: $a = "abc" wide ascii nocase $b = { 01 [1-4] ?2 ( 03 | 04 05 ) } $c = /a{2,4}b+?[^c]\d/
  $d = "key" xor $e = "text" base64 condition: 2 of them }
"#;

static COMPILED: LazyLock<YaraRules> =
    LazyLock::new(|| YaraRules::compile([("all", RULES)]).expect("the rules are right"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(COMPILED.matches(data)));
