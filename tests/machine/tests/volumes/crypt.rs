//! LUKS volumes whose content went through dm-crypt, and a group inside one.

use crate::{check, made, says, sha256};
use evidence::volume::{Key, Member, luks, lvm};
use std::sync::Arc;

fn keys() -> Vec<Key> {
    vec![Key::Passphrase(b"correct horse".to_vec())]
}

#[test]
fn every_kind_holds_what_the_kernel_read() {
    let Some(made) = made() else { return };
    let sums = made.sums("crypt-kinds");
    assert_eq!(sums.len(), 6);
    for (member, sum) in made.members("crypt-kinds").iter().zip(sums) {
        let clear = luks::unlock(Arc::clone(&member.source), &keys())
            .unwrap_or_else(|error| panic!("{}: {error}", sum.volume));
        assert_eq!(clear.size_bytes(), sum.size_bytes, "{}", sum.volume);
        assert_eq!(sha256(&clear), sum.sha256, "{}", sum.volume);
    }
}

#[test]
fn a_group_inside() {
    let Some(made) = made() else { return };
    let members = made.members("crypt-lvm");
    let clear = luks::unlock(Arc::clone(&members[0].source), &keys()).expect("opens");
    let volumes = lvm::assemble(&[Member { name: "A".to_owned(), source: clear }]);
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    check(&volumes[0], made.sums("crypt-lvm")[0]);
    assert!(!says(&volumes[0], "missing"));
}
