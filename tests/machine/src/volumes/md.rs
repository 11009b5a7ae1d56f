//! md arrays: every level and layout the kernel makes, and the states an examiner meets.

use super::Recipe;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "md-raid0",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=0 --chunk=64 --metadata=1.2 --raid-devices=3 $A $B $C
            fill /dev/md1
            sum md-raid0 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid0-original",
        sizes_mib: [6, 11, 4, 17, 6, 6],
        script: r"
            array 1 --level=0 --chunk=32 --metadata=1.2 --layout=original --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid0-original /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid0-alternate",
        sizes_mib: [6, 11, 4, 17, 6, 6],
        script: r"
            array 1 --level=0 --chunk=32 --metadata=1.1 --layout=alternate --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid0-alternate /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid1-10",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=1 --metadata=1.0 --bitmap=internal --raid-devices=2 $A $B
            fill /dev/md1
            sum md-raid1-10 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid1-old",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=1 --metadata=0.90 --raid-devices=2 $A $B
            fill /dev/md1
            sum md-raid1-old /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-n2",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=n2 --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid10-n2 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-n2-odd",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=n2 --raid-devices=3 $A $B $C
            fill /dev/md1
            sum md-raid10-n2-odd /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-n3",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=n3 --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid10-n3 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-f2",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=f2 --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid10-f2 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-f2-odd",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=f2 --raid-devices=3 $A $B $C
            fill /dev/md1
            sum md-raid10-f2-odd /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-f3",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=f3 --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid10-f3 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-o2",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=o2 --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid10-o2 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-o2-odd",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=o2 --raid-devices=3 $A $B $C
            fill /dev/md1
            sum md-raid10-o2-odd /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid10-o3",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=10 --chunk=16 --metadata=1.2 --layout=o3 --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid10-o3 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid4",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=4 --chunk=16 --metadata=1.2 --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid4 /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-la",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --layout=la --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid5-la /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-ra",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --layout=ra --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid5-ra /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-ls",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --layout=ls --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid5-ls /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-rs",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --layout=rs --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid5-rs /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-first",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --layout=parity-first --raid-devices=4 $A $B $C $D
            fill /dev/md1
            sum md-raid5-first /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-old",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=0.90 --raid-devices=3 $A $B $C
            fill /dev/md1
            sum md-raid5-old /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-la",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=la --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-la /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-ra",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=ra --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-ra /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-ls",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=ls --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-ls /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-rs",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=rs --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-rs /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-six",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=64 --metadata=1.2 --raid-devices=6 $A $B $C $D $E $F
            fill /dev/md1
            sum md-raid6-six /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-ddf-zero-restart",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=ddf-zero-restart --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-ddf-zero-restart /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-ddf-n-restart",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=ddf-N-restart --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-ddf-n-restart /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-ddf-n-continue",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=ddf-N-continue --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-ddf-n-continue /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid6-q-last",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=6 --chunk=16 --metadata=1.2 --layout=left-symmetric-6 --raid-devices=5 $A $B $C $D $E
            fill /dev/md1
            sum md-raid6-q-last /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid1-stale",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=1 --metadata=1.2 --bitmap=none --raid-devices=2 $A $B
            fill /dev/md1
            mdadm /dev/md1 --fail $B --remove $B 2>&1
            fill /dev/md1
            sum md-raid1-stale /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-stale",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --bitmap=none --raid-devices=4 $A $B $C $D
            fill /dev/md1
            mdadm /dev/md1 --fail $B --remove $B 2>&1
            fill /dev/md1
            sum md-raid5-stale /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid1-bad-blocks",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=1 --metadata=1.2 --bitmap=none --raid-devices=2 $A $B
            fill /dev/md1
            sum md-raid1-bad-blocks /dev/md1
            at=$(($(mdadm --examine $A | sed -n 's/.*Data Offset : \([0-9]*\).*/\1/p') + 512)); echo $at
            echo $at 64 >/sys/block/md1/md/rd0/bad_blocks
            close 1
            dd if=/dev/zero of=$A bs=512 seek=$at count=64 conv=notrunc status=none
            mdadm --examine-badblocks $A 2>&1
        ",
    },
    Recipe {
        name: "md-raid1-replaced",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=1 --metadata=1.2 --bitmap=none --raid-devices=3 $A $B $C
            mdadm /dev/md1 --add $D 2>&1
            mdadm /dev/md1 --fail $A 2>&1
            mdadm --wait /dev/md1; true
            fill /dev/md1
            sum md-raid1-replaced /dev/md1
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-reshape",
        sizes_mib: [24; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --bitmap=none --raid-devices=3 $A $B $C
            fill /dev/md1
            sum md-raid5-reshape /dev/md1
            mdadm /dev/md1 --add $D 2>&1
            echo 100 >/sys/block/md1/md/sync_speed_max; echo 1 >/sys/block/md1/md/sync_speed_min
            mdadm --grow /dev/md1 --raid-devices=4 --backup-file=/tmp/backup 2>&1
            sleep 1; cat /proc/mdstat
            close 1
        ",
    },
    Recipe {
        name: "md-raid5-journal",
        sizes_mib: [6; 6],
        script: r"
            array 1 --level=5 --chunk=16 --metadata=1.2 --raid-devices=3 --write-journal=$D $A $B $C
            fill /dev/md1
            sum md-raid5-journal /dev/md1
            close 1
        ",
    },
];
