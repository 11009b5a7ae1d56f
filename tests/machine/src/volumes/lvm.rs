//! LVM2 groups: every segment type a reader may meet, in the states that matter.

use super::Recipe;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "lvm-plain",
        sizes_mib: [20; 6],
        script: r"
            vgcreate -q -s 128k --alloc anywhere plain-one $A $B $C 2>&1
            lvcreate -q -y -Wn -L 1M -n first plain-one $A 2>&1
            lvcreate -q -y -Wn -L 3M -n gap plain-one $A 2>&1
            lvcreate -q -y -Wn -L 22M -n linear plain-one $A $B 2>&1
            lvremove -q -y plain-one/gap 2>&1
            lvextend -q -L 25M plain-one/linear $C 2>&1
            lvcreate -q -y -Wn -L 2M -n with-dash plain-one 2>&1
            vgchange -an plain-one 2>&1 && vgchange -ay plain-one 2>&1
            for l in first linear with-dash; do fill /dev/plain-one/$l; sum plain-one/$l /dev/plain-one/$l; done
            vgchange -an plain-one 2>&1
        ",
    },
    Recipe {
        name: "lvm-striped",
        sizes_mib: [12; 6],
        script: r"
            vgcreate -q -s 128k striped $A $B $C $D $E $F 2>&1
            lvcreate -q -y -Wn -i 3 -I 16k -L 6M -n three striped 2>&1
            lvcreate -q -y -Wn -i 2 -I 64k -L 4M -n two striped 2>&1
            lvcreate -q -y -Wn --type raid0 -i 4 -I 16k -L 4M -n raid0 striped 2>&1
            for l in three two raid0; do fill /dev/striped/$l; sum striped/$l /dev/striped/$l; done
            vgchange -an striped 2>&1
        ",
    },
    Recipe {
        name: "lvm-raid",
        sizes_mib: [40; 6],
        script: r"
            vgcreate -q -s 256k raids $A $B $C $D $E $F 2>&1
            lvcreate -q -y -Wn --nosync --type mirror -m1 --mirrorlog core -L 2M -n mirror raids 2>&1
            lvcreate -q -y -Wn --nosync --type raid1 -m1 -L 2M -n raid1 raids 2>&1
            lvcreate -q -y -Wn --nosync --type raid10 -i 2 -m 1 -I 16k -L 2M -n raid10 raids 2>&1
            lvcreate -q -y -Wn --nosync --type raid4 -i 3 -I 16k -L 3M -n raid4 raids 2>&1
            for t in raid5_ls raid5_la raid5_ra raid5_rs raid5_n; do lvcreate -q -y -Wn --nosync --type $t -i 3 -I 16k -L 3M -n $t raids 2>&1; done
            for t in raid6_zr raid6_nr raid6_nc raid6_ls_6 raid6_n_6; do lvcreate -q -y -Wn --type $t -i 3 -I 16k -L 3M -n $t raids 2>&1; done
            ls /dev/raids
            for l in $(ls /dev/raids); do fill /dev/raids/$l; sum raids/$l /dev/raids/$l; done
            vgchange -an raids 2>&1
        ",
    },
    Recipe {
        name: "lvm-thin",
        sizes_mib: [48; 6],
        script: r"
            vgcreate -q -s 256k thin $A $B 2>&1
            lvcreate -q -y --type thin-pool -c 64k -L 40M --poolmetadatasize 2M -n pool thin 2>&1
            lvcreate -q -y -V 64M -T thin/pool -n one 2>&1
            fill /dev/thin/one 100 && fill /dev/thin/one 30 500
            lvcreate -q -y -s -n snap thin/one 2>&1 && lvchange -q -y -ay -K thin/snap 2>&1
            fill /dev/thin/one 20 90 && fill /dev/thin/snap 5 3
            lvcreate -q -y -V 16M -T thin/pool -n empty 2>&1
            sum thin/one /dev/thin/one
            sum thin/snap /dev/thin/snap
            sum thin/empty /dev/thin/empty
            vgchange -an thin 2>&1
        ",
    },
    Recipe {
        name: "lvm-thin-deep",
        sizes_mib: [64; 6],
        script: r"
            vgcreate -q -s 256k deep $A 2>&1
            lvcreate -q -y --type thin-pool -c 64k -L 50M --poolmetadatasize 4M -n pool deep 2>&1
            lvcreate -q -y -V 44M -T deep/pool -n wide 2>&1
            fill /dev/deep/wide 640
            for i in 3 60 61 200 333 500; do blkdiscard -o $((i * 65536)) -l 65536 /dev/deep/wide; done
            sum deep/wide /dev/deep/wide
            vgchange -an deep 2>&1
        ",
    },
    Recipe {
        name: "lvm-snapshot",
        sizes_mib: [32; 6],
        script: r"
            vgcreate -q -s 256k snaps $A $B 2>&1
            lvcreate -q -y -Wn -L 12M -n origin snaps 2>&1
            fill /dev/snaps/origin
            lvcreate -q -y -s -c 4k -L 8M -n before snaps/origin 2>&1
            lvcreate -q -y -s -c 32k -L 8M -n second snaps/origin 2>&1
            fill /dev/snaps/origin 30 10 && fill /dev/snaps/before 4 100 && fill /dev/snaps/second 3 5
            sum snaps/origin /dev/snaps/origin
            sum snaps/before /dev/snaps/before
            sum snaps/second /dev/snaps/second
            vgchange -an snaps 2>&1
        ",
    },
    Recipe {
        name: "lvm-degraded",
        sizes_mib: [24; 6],
        script: r"
            vgcreate -q -s 256k hurt $A $B $C $D 2>&1
            lvcreate -q -y -Wn --nosync --type raid1 -m1 -L 2M -n mirror hurt $A $B 2>&1
            lvcreate -q -y -Wn --nosync --type raid5 -i 2 -I 16k -L 4M -n five hurt $A $B $C 2>&1
            lvcreate -q -y -Wn -L 2M -n healthy hurt $D 2>&1
            for l in mirror five healthy; do fill /dev/hurt/$l; sum hurt/$l /dev/hurt/$l; done
            vgchange -an hurt 2>&1
            pvck $A 2>&1; true
        ",
    },
    Recipe {
        name: "lvm-cache",
        sizes_mib: [24; 6],
        script: r"
            vgcreate -q -s 256k cached $A $B 2>&1
            lvcreate -q -y -Wn -L 12M -n slow cached $A 2>&1
            fill /dev/cached/slow
            lvcreate -q -y --type cache-pool -L 10M --poolmetadatasize 2M -n fast cached $B 2>&1
            lvconvert -q -y --type cache --cachepool cached/fast cached/slow 2>&1
            sum cached/slow /dev/cached/slow
            vgchange -an cached 2>&1
        ",
    },
];
