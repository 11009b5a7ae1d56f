//! LVM2 groups: every segment type, thin pools, snapshots, and groups with members missing.

use crate::{Made, check, made, says};
use evidence::volume::{Assembled, Member, lvm};

/// The visible volumes of a recipe by name.
fn volumes(made: &Made, recipe: &str) -> Vec<Assembled> {
    lvm::assemble(&made.members(recipe))
}

fn named<'a>(volumes: &'a [Assembled], name: &str) -> &'a Assembled {
    let found = volumes.iter().find(|volume| volume.name == name);
    found.unwrap_or_else(|| panic!("no {name} among {volumes:?}"))
}

#[test]
fn whole_groups_hold_what_the_kernel_read() {
    let Some(made) = made() else { return };
    for (recipe, least) in [
        ("lvm-plain", 3),
        ("lvm-striped", 3),
        ("lvm-raid", 14),
        ("lvm-thin", 3),
        ("lvm-thin-deep", 1),
        ("lvm-snapshot", 3),
        ("lvm-degraded", 3),
    ] {
        let volumes = volumes(made, recipe);
        let sums = made.sums(recipe);
        assert!(sums.len() >= least, "{recipe}: {sums:?}");
        for sum in &sums {
            let volume = named(&volumes, &sum.volume);
            check(volume, sum);
            assert!(volume.problems.is_empty(), "{volume:?}");
        }
        let readable = volumes.iter().filter(|volume| volume.source.is_some()).count();
        assert_eq!(readable, sums.len(), "{recipe} lists hidden volumes: {volumes:?}");
    }
}

#[test]
fn a_missing_physical_volume_costs_no_more_than_it_must() {
    let Some(made) = made() else { return };
    let members: Vec<Member> =
        made.members("lvm-degraded").into_iter().filter(|member| member.name != "B").collect();
    let volumes = lvm::assemble(&members);
    for sum in made.sums("lvm-degraded") {
        let volume = named(&volumes, &sum.volume);
        check(volume, sum);
        assert!(says(volume, " is missing"), "{volume:?}");
        assert_eq!(says(volume, "degraded: "), sum.volume != "hurt/healthy", "{volume:?}");
    }
    let facts = lvm::groups(&members).remove(0);
    assert_eq!((facts.name.as_str(), facts.physical.len()), ("hurt", 4));
    assert_eq!(facts.physical.iter().filter(|one| one.member.is_none()).count(), 1);

    let raids = made.members("lvm-raid");
    for lost in ["A", "C", "F"] {
        let left: Vec<Member> =
            raids.iter().filter(|member| member.name != lost).cloned().collect();
        let volumes = lvm::assemble(&left);
        for sum in made.sums("lvm-raid") {
            check(named(&volumes, &sum.volume), sum);
        }
    }
    let linear: Vec<Member> =
        made.members("lvm-plain").into_iter().filter(|member| member.name != "B").collect();
    let volumes = lvm::assemble(&linear);
    let volume = named(&volumes, "plain-one/linear");
    let source = volume.source.as_ref().expect("partly readable");
    let reads = (0..25).filter(|mib| source.read_at(mib << 20, &mut [0; 512]).is_ok()).count();
    assert!(reads > 0 && reads < 25, "{reads} of 25 places read");
}

#[test]
fn what_is_not_read_is_named() {
    let Some(made) = made() else { return };
    let volumes = volumes(made, "lvm-cache");
    let sum = made.sums("lvm-cache")[0];
    check(named(&volumes, "cached/slow"), sum);
    let facts = lvm::groups(&made.members("lvm-cache")).remove(0);
    assert!(facts.logical.iter().any(|one| one.kinds == ["cache"]), "{facts:?}");
}
