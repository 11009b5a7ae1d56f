//! File systems and swap, as a power cut leaves them.

use super::{MIB, Recipe};
use crate::error::{Doing, Result};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// Where the 10-byte swap signature stands, in bytes, for 4 KiB pages.
const SWAP_SIGNATURE: u64 = 4086;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "ext4-dirty",
        reason: "a read-only mount replays the journal and deletes orphans: 9 writes measured",
        sizes: &[64 * MIB],
        script: r#"
            mkfs.ext4 -q -L dirty -U 11111111-2222-4333-8444-000000000001 $D
            mount $D $M
            mkdir $M/etc && seq 1 20000 >$M/etc/numbers && head -c 300000 /dev/zero | tr '\0' o >$M/orphan
            sync $M/orphan && sync -f $M
            (exec 3<$M/orphan; rm $M/orphan; exec sleep 100000) & sleep 1
            echo last >$M/etc/last && sync $M/etc/last && sync $D
        "#,
        check: &[
            "sh",
            "-c",
            "dumpe2fs -h \"$0\" 2>/dev/null | grep 'needs_recovery.*orphan_present'",
        ],
        says: "needs_recovery",
    },
    Recipe {
        name: "xfs-clean",
        reason: "even a clean XFS is written by a read-only mount: 2.1 MB measured",
        sizes: &[304 * MIB],
        script: r"
            mkfs.xfs -q -i nrext64=0 -L clean $D
            mount $D $M && seq 1 20000 >$M/numbers && umount $M
        ",
        check: &["xfs_logprint", "-t"],
        says: "<CLEAN>",
    },
    Recipe {
        name: "xfs-dirty",
        reason: "a read-only mount replays the log: 76 writes measured",
        sizes: &[304 * MIB],
        script: r"
            mkfs.xfs -q -i nrext64=0 -L dirty $D
            mount $D $M && seq 1 20000 >$M/numbers && sync $M/numbers && mkdir $M/d && echo x >$M/d/x && sync $M/d/x
        ",
        check: &["xfs_logprint", "-t"],
        says: "<DIRTY>",
    },
    Recipe {
        name: "fat",
        reason: "a writable mount sets the dirty bit and access times",
        sizes: &[32 * MIB],
        script: r"
            mkfs.vfat -n FATDISK -i 12345678 $D
            mount $D $M && seq 1 2000 >$M/NUMBERS.TXT && umount $M
        ",
        check: &["blkid", "-p"],
        says: "TYPE=\"vfat\"",
    },
    Recipe {
        name: "swap",
        reason: "swapon discards: 1 TRIM measured in spite of the read-only flag",
        sizes: &[16 * MIB],
        script: "mkswap -L swap $D",
        check: &["blkid", "-p"],
        says: "TYPE=\"swap\"",
    },
    Recipe {
        name: "swap-hibernated",
        reason: "a resume attempt overwrites the signature and orphans the memory image",
        sizes: &[16 * MIB],
        script: "mkswap -L sleeping $D",
        check: &["blkid", "-p"],
        says: "TYPE=\"swsuspend\"",
    },
    Recipe {
        name: "gpt-auto",
        reason: "partition types that make init systems mount root and home and enable swap",
        sizes: &[128 * MIB],
        script: r#"
            printf 'label: gpt\nsize=40M, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=root\nsize=16M, type=0657fd6d-a4ab-43c4-84e5-0933c84b4f4f, name=swap\ntype=933ac7e1-2eb4-4f13-b844-0e14e2aef915, name=home\n' | sfdisk -q $D
            mkfs.ext4 -q -L persistence ${D}1 && mkswap ${D}2 && mkfs.ext4 -q -L live-rw ${D}3
            mkdir $M/1 $M/3 && mount ${D}1 $M/1 && mount ${D}3 $M/3
            seq 1 2000 >$M/1/numbers && sync $M/1/numbers && seq 1 2000 >$M/3/numbers && sync $M/3/numbers
        "#,
        check: &["blkid", "-p"],
        says: "PTTYPE=\"gpt\"",
    },
    Recipe {
        name: "btrfs-log",
        reason: "a read-only mount replays the log tree: 8 writes measured",
        sizes: &[160 * MIB],
        script: r"
            mkfs.btrfs -q -L log $D
            mount -o commit=3600 $D $M && seq 1 2000 >$M/numbers && sync -f $M/numbers
            echo new >$M/new && sync $M/new
        ",
        check: &[
            "sh",
            "-c",
            "btrfs inspect-internal dump-super \"$0\" | awk '$1 == \"log_root\" && $2 > 0 { print \"log tree present\" }'",
        ],
        says: "log tree present",
    },
];

/// Turns a plain swap area into a hibernated one, as `swsusp_header` in the kernel lays it out:
/// the old signature is kept ten bytes before the new one.
pub(super) fn plant_hibernation(disk: &Path) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).open(disk).doing("opening", disk)?;
    file.seek(SeekFrom::Start(SWAP_SIGNATURE - 10)).doing("seeking in", disk)?;
    file.write_all(b"SWAPSPACE2S1SUSPEND\0").doing("writing", disk)
}
