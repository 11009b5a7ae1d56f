//! Volumes made of several disks.

use super::{MIB, Recipe};

pub(super) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "md-raid1",
        reason: "assembling an unclean mirror resyncs it: 104 MB written to the second disk",
        sizes: &[48 * MIB, 48 * MIB],
        script: r"
            modprobe raid1
            mdadm --create /dev/md7 --run --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --bitmap=none --homehost=zoo $D $E 2>&1
            echo 0 >/sys/block/md7/md/safe_mode_delay
            mkfs.ext4 -q -L mirror /dev/md7
            mount /dev/md7 $M && seq 1 2000 >$M/numbers && sync $M/numbers
        ",
        check: &["sh", "-c", "mdadm --examine \"$0\" | tr -s ' '"],
        says: "State : active",
    },
    Recipe {
        name: "lvm-raid1",
        reason: "activating a mirrored volume writes three times to each leg",
        sizes: &[64 * MIB, 64 * MIB],
        script: r"
            modprobe -a dm-mod dm-raid
            pvcreate -q $D $E 2>/dev/null
            vgcreate -q --alloc anywhere zoo $D $E 2>/dev/null
            lvcreate -q -y -Wn --type raid1 -m1 -L 32M -n mirror zoo 2>/dev/null
            mkfs.ext4 -q -L lvm /dev/zoo/mirror
            mount /dev/zoo/mirror $M && seq 1 2000 >$M/numbers && sync $M/numbers
        ",
        check: &["blkid", "-p"],
        says: "TYPE=\"LVM2_member\"",
    },
];
