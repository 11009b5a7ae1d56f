//! md arrays: whole, with every tolerable loss, and in the states a reader must not be fooled by.

use crate::{Made, check, made, says};
use evidence::volume::{Assembled, Member, md};

/// The one array these members make.
fn one(members: &[Member]) -> Assembled {
    let mut all = md::assemble(members);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Recipes of arrays in good order with how many members each may lose.
fn plain(made: &Made) -> Vec<(String, usize)> {
    let special = ["stale", "bad-blocks", "replaced", "reshape", "journal"];
    let names = made.sums.iter().map(|sum| sum.recipe.clone());
    names
        .filter(|name| name.starts_with("md-") && !special.iter().any(|word| name.ends_with(word)))
        .map(|name| {
            let losses = match name.get(3..8) {
                Some("raid0") => 0,
                Some("raid6") => 2,
                _ => 1,
            };
            (name, losses)
        })
        .collect()
}

#[test]
fn whole_arrays_hold_what_the_kernel_read() {
    let Some(made) = made() else { return };
    let mut count = 0;
    for (name, _) in plain(made) {
        let array = one(&made.members(&name));
        check(&array, made.sums(&name)[0]);
        assert!(array.problems.is_empty(), "{name}: {array:?}");
        count += 1;
    }
    assert!(count >= 25, "{count} arrays");
}

#[test]
fn every_tolerable_loss_changes_nothing() {
    let Some(made) = made() else { return };
    for (name, losses) in plain(made) {
        let members = made.members(&name);
        let array = one(&members);
        let whole = array.source.as_ref().expect("readable").bytes_at(0, 1 << 20).expect("whole");
        let used: Vec<&Member> =
            members.iter().filter(|member| array.members.contains(&member.name)).collect();
        for first in 0..used.len() {
            for second in 0..used.len() {
                if losses == 0 || losses == 1 && first != second {
                    continue;
                }
                let left: Vec<Member> = used
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| *index != first && *index != second)
                    .map(|(_, member)| (*member).clone())
                    .collect();
                let hurt = one(&left);
                let source = hurt.source.as_ref().unwrap_or_else(|| panic!("{name}: {hurt:?}"));
                let read = source.bytes_at(0, 1 << 20).expect("hurt");
                assert!(read == whole, "{name} without {first} and {second}");
                assert!(says(&hurt, "degraded: "), "{hurt:?}");
            }
        }
        // One more than it may lose.
        let too_few: Vec<Member> =
            used.iter().skip(losses + 1).map(|member| (*member).clone()).collect();
        if !too_few.is_empty() && !name.contains("raid10") {
            let gone = one(&too_few);
            assert!(gone.source.is_none() && says(&gone, "too few members"), "{name}: {gone:?}");
        }
    }
}

#[test]
fn a_member_that_fell_behind_is_not_used() {
    let Some(made) = made() else { return };
    for name in ["md-raid1-stale", "md-raid5-stale"] {
        let members = made.members(name);
        let array = one(&members);
        check(&array, made.sums(name)[0]);
        assert!(says(&array, "B is stale: its events are "), "{array:?}");
        assert!(!array.members.contains(&"B".to_owned()));
        // Alone it is all there is: read, and said so.
        let without_a: Vec<Member> =
            members.iter().filter(|member| member.name != "A").cloned().collect();
        let array = one(&without_a);
        assert!(array.source.is_some(), "{array:?}");
        if name == "md-raid5-stale" {
            assert!(says(&array, "fell behind and had to be used"), "{array:?}");
        }
    }
}

#[test]
fn recorded_bad_blocks_come_from_the_other_member() {
    let Some(made) = made() else { return };
    let members = made.members("md-raid1-bad-blocks");
    let array = one(&members);
    check(&array, made.sums("md-raid1-bad-blocks")[0]);
    assert!(says(&array, "A: the array recorded 1 bad ranges of 32768 bytes"), "{array:?}");
    let alone = one(&members[..1]);
    let source = alone.source.as_ref().expect("readable elsewhere");
    assert!(source.read_at(512 * 512, &mut [0; 512]).is_err());
    assert!(source.read_at(0, &mut [0; 512]).is_ok());
}

#[test]
fn a_rebuilt_member_takes_the_place_of_the_failed_one() {
    let Some(made) = made() else { return };
    let array = one(&made.members("md-raid1-replaced"));
    check(&array, made.sums("md-raid1-replaced")[0]);
    assert_eq!(array.members.len(), 3, "{array:?}");
}

#[test]
fn what_is_not_read_is_named() {
    let Some(made) = made() else { return };
    let array = one(&made.members("md-raid5-reshape"));
    assert!(array.source.is_none() && says(&array, "a reshape is under way"), "{array:?}");
    let array = one(&made.members("md-raid5-journal"));
    assert!(says(&array, "D is a journal: "), "{array:?}");
    check(&array, made.sums("md-raid5-journal")[0]);
}
