//! LUKS volumes whose content went through the kernel's own dm-crypt.
//!
//! The passphrase is `correct horse`; `crypt-lvm` has a volume group inside, as installers make it.

use super::Recipe;

pub(super) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "crypt-kinds",
        sizes_mib: [24; 6],
        script: r#"
            crypt() { d=$1; n=$2; shift 2; printf 'correct horse' | cryptsetup -q luksFormat "$@" $d - 2>&1 && printf 'correct horse' | cryptsetup open --key-file - $d $n 2>&1 && fill /dev/mapper/$n 64 && sum $n /dev/mapper/$n && cryptsetup close $n; }
            crypt $A luks1-xts --type luks1 --pbkdf-force-iterations 1000
            crypt $B luks2-4096 --type luks2 --sector-size 4096 --pbkdf argon2id --pbkdf-memory 1024 --pbkdf-force-iterations 4
            crypt $C luks2-essiv --type luks2 -c aes-cbc-essiv:sha256 -s 256 --pbkdf argon2i --pbkdf-memory 1024 --pbkdf-force-iterations 4
            crypt $D luks2-1024 --type luks2 --sector-size 1024 -s 256 --pbkdf pbkdf2 --pbkdf-force-iterations 1000
            crypt $E luks2-plain64 --type luks2 -c aes-cbc-plain64 -s 192 --pbkdf pbkdf2 --pbkdf-force-iterations 1000
            crypt $F luks1-plain --type luks1 -c aes-cbc-plain -s 128 --hash sha512 --pbkdf-force-iterations 1000
        "#,
    },
    Recipe {
        name: "crypt-lvm",
        sizes_mib: [48, 2, 2, 2, 2, 2],
        script: r"
            printf 'correct horse' | cryptsetup -q luksFormat --type luks2 --pbkdf argon2id --pbkdf-memory 65536 --pbkdf-force-iterations 4 $A - 2>&1
            printf 'correct horse' | cryptsetup open --key-file - $A inner 2>&1
            vgcreate -q -s 256k inside /dev/mapper/inner 2>&1
            lvcreate -q -y -Wn -L 12M -n root inside 2>&1
            mkfs.ext4 -q -L rootfs /dev/inside/root
            sum inside/root /dev/inside/root
            vgchange -an inside 2>&1
            cryptsetup close inner
        ",
    },
];
