#!/bin/sh
# Makes the seed corpus below corpus/ with mke2fs, debugfs, sfdisk, mkswap, dosfstools, mtools, exfatprogs, exfat-fuse,
# xorriso, genisoimage, qemu-img and ewfacquire.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/ext corpus/partition corpus/probe corpus/text corpus/fat corpus/exfat corpus/iso9660 corpus/ntfs corpus/registry corpus/list
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir -p "$work/tree/etc"
echo 'ID=test' > "$work/tree/etc/os-release"
ln -s "$(printf 'x%.0s' $(seq 100))" "$work/tree/link"
for kind in ext2 ext4; do
    rm -f "corpus/ext/$kind"
    mke2fs -q -F -t "$kind" -b 1024 -N 16 -O ^has_journal -d "$work/tree" "corpus/ext/$kind" 256
done
rm -f corpus/ext/inline corpus/ext/journal
mke2fs -q -F -t ext4 -b 1024 -N 16 -O ^has_journal,inline_data -d "$work/tree" corpus/ext/inline 256
mke2fs -q -F -t ext4 -b 1024 -N 16 -J size=1 -d "$work/tree" corpus/ext/journal 2200
head -c 1024 /dev/zero > "$work/block"
printf 'jo -c\njw -b 2100 %s\njc\n' "$work/block" | debugfs -w -f - corpus/ext/journal > /dev/null 2>&1
rm -f corpus/ext/deleted
mke2fs -q -F -t ext4 -b 1024 -N 16 -O ^has_journal,bigalloc -C 4096 -d "$work/tree" corpus/ext/deleted 256
printf 'rm /etc/os-release\nea_set /link user.note hello\nssv last_orphan 12\n' | debugfs -w -f - corpus/ext/deleted > /dev/null 2>&1
truncate -s 1M corpus/partition/mbr corpus/partition/gpt
printf 'label: dos\nstart=8,size=100\nstart=200,type=5\nstart=300,size=50\nstart=500,size=50\n' | sfdisk -q corpus/partition/mbr
printf 'label: gpt\nstart=64,size=100,name=a\nstart=200,size=100\n' | sfdisk -q corpus/partition/gpt
truncate -s 64K corpus/probe/swap
mkswap -q -L s corpus/probe/swap 2> /dev/null || true
truncate -s 128K corpus/probe/fat
mkfs.vfat -n F corpus/probe/fat > /dev/null
head -c 70000 corpus/ext/ext4 > corpus/probe/ext4
printf '\000root:x:0:0:root:/root:/bin/sh\n' > corpus/text/passwd
printf '\001root:$6$a$b:1::::::\n' > corpus/text/shadow
printf '\002sudo:x:27:a,b\n' > corpus/text/group
printf '\003*/5 * * * * root x\n@reboot root y\nA=b\n' > corpus/text/cron
printf '\004[Unit]\nA=b \\\n c\n' > corpus/text/unit
printf '\005Package: a\nStatus: install ok installed\nConffiles:\n /etc/a 0123\n\n' > corpus/text/status
printf '\0060123456789abcdef0123456789abcdef  usr/bin/a\n' > corpus/text/md5sums
printf '\007[core]\n\tpager = x | y\n[alias]\n a = !b\n' > corpus/text/git
printf '\010P:a\nV:1\nF:usr/bin\nR:x\na:0:0:4755\nZ:Q12jmj7l5rSw0yVb/vlWAYkK/YBwk=\n\n' > corpus/text/apk
printf '\011#mtree\n/set type=file uid=0 mode=755\n./usr/a\\040b mode=644 sha256digest=00\n' > corpus/text/mtree
printf '\014' > corpus/text/bdb
digits=d41d8cd98f00b204e9800998ecf8427e
printf '\000%s  a\n\\%s  b\\nc\n' "$digits" "$digits" > corpus/list/sum
printf '\000MD5 (a (b)) = %s\n' "$digits" > corpus/list/tag
printf '\000%%%%%%%% HASHDEEP-1.0\n%%%%%%%% size,md5,filename\n## x\n0,%s,./a,b\n' "$digits" > corpus/list/hashdeep
printf '\000#mtree\n/set type=file\n. type=dir\nd type=dir\na\\040b size=0 \\\n md5=%s\n..\n./l type=link link=a\n' "$digits" > corpus/list/mtree
printf '\000{"format":"glovebox-manifest","version":1}\n{"path":"a","type":"file","size_bytes":0,"digests":{"md5":"%s"}}\n' "$digits" > corpus/list/manifest
printf '\001"SHA-1","MD5","FileName"\r\n"","%s","a,""b"\r\n' "$digits" > corpus/list/nsrl
head -c 3000 /dev/urandom > "$work/tree/etc/a long name for a file"
for bits in 12 16 32; do
    rm -f "corpus/fat/fat$bits"
    truncate -s 256K "corpus/fat/fat$bits"
    [ "$bits" = 16 ] && truncate -s 2200K "corpus/fat/fat$bits"
    mkfs.fat -F "$bits" -s 1 -n F "corpus/fat/fat$bits" > /dev/null
    # mtools takes no FAT32 of so few clusters; its root stays empty.
    mcopy -s -Q -o -i "corpus/fat/fat$bits" "$work/tree/etc" ::/ 2> /dev/null || true
    mdel -i "corpus/fat/fat$bits" ::/etc/os-release 2> /dev/null || true
done
rm -f corpus/exfat/exfat
truncate -s 256K corpus/exfat/exfat
mkfs.exfat -b 4K -c 512 -L E corpus/exfat/exfat > /dev/null
# Files get in through exfat-fuse, which wants root and a loop device.
if [ "$(id -u)" = 0 ] && device=$(losetup --find --show corpus/exfat/exfat); then
    mkdir "$work/mounted"
    mount.exfat-fuse "$device" "$work/mounted" > /dev/null
    cp -r "$work/tree/etc" "$work/mounted"
    rm "$work/mounted/etc/os-release"
    umount "$work/mounted"
    sleep 1
    losetup -d "$device"
fi
# XFS is at least 16 MiB: its seeds are the sectors that are not empty (nor empty records, which a mount puts before the
# log's head), each behind its number. The one with a log to
# replay needs root and the kernel's XFS, and is left out where they are missing.
mkdir -p corpus/xfs
sectors() {
    perl -e 'binmode STDIN; while (read STDIN, $s, 512) { print pack("v", $n), $s if $s =~ /[^\0]/ && $s !~ /^\xfe\xed\xba\xbe.{8}\0{4}/s; $n++ }' < "$1" > "$2"
}
{
    printf 'none\n0 0\nd--755 0 0\nfile ---644 0 0 /etc/passwd\nlink l--777 0 0 %s\n' "$(printf 'x%.0s' $(seq 700))"
    printf 'many d--755 0 0\n'
    seq -f 'name-number-%g ---600 0 0 /dev/null' 90
    printf '$\n$\n'
} > "$work/prototype"
for kind in crc=1 crc=0,finobt=0; do
    truncate -s 0 "$work/xfs"
    truncate -s 24M "$work/xfs"
    mkfs.xfs -q -f --unsupported -d agcount=1 -l size=1400b -m "$kind" -p "$work/prototype" "$work/xfs" > /dev/null 2>&1
    root=$(xfs_db -r -c 'sb 0' -c 'p rootino' "$work/xfs" 2> /dev/null | sed 's/.* //')
    xfs_db -x -c "inode $root" -c 'attr_set -u -v 20 a' -c 'attr_set -r -v 3000 b' "$work/xfs" > /dev/null 2>&1
    sectors "$work/xfs" "corpus/xfs/${kind%%,*}"
done
truncate -s 0 "$work/xfs"
truncate -s 24M "$work/xfs"
mkfs.xfs -q -f --unsupported -d agcount=1 -l size=1400b "$work/xfs" > /dev/null 2>&1
mkdir "$work/xfs-mounted"
if mount -t xfs -o loop "$work/xfs" "$work/xfs-mounted" 2> /dev/null; then
    mkdir "$work/xfs-mounted/a" "$work/xfs-mounted/b"
    seq 200 > "$work/xfs-mounted/a/file"
    for name in $(seq 40); do : > "$work/xfs-mounted/b/name-$name"; done
    rm "$work/xfs-mounted"/b/*3
    sync -f "$work/xfs-mounted"
    cp "$work/xfs" "$work/pulled"
    umount "$work/xfs-mounted"
    sectors "$work/pulled" corpus/xfs/log
fi
rm -f corpus/iso9660/*
xorriso -as mkisofs -quiet -R -o corpus/iso9660/rock -no-pad "$work/tree"
genisoimage -quiet -J -no-pad -o corpus/iso9660/joliet "$work/tree"
mkdir -p "$work/tree/1/2/3/4/5/6/7/8/9"
genisoimage -quiet -R -no-pad -o corpus/iso9660/moved "$work/tree"
# The first byte of a container seed chooses the name; behind it stands the image.
mkdir -p corpus/container
head -c 20000 /dev/urandom > "$work/disk"
yes 'written once' | head -c 100000 >> "$work/disk"
truncate -s 200704 "$work/disk"
seed() {
    printf "$1" > "corpus/container/$2"
    cat "$3" >> "corpus/container/$2"
}
while read -r name options; do
    # shellcheck disable=SC2086
    qemu-img convert -f raw $options "$work/disk" "$work/image"
    seed '\002' "$name" "$work/image"
done <<'LIST'
qcow2 -O qcow2 -o cluster_size=4k
qcow2-deflate -O qcow2 -c -o cluster_size=4k
qcow2-zstd -O qcow2 -c -o cluster_size=4k,compression_type=zstd
qcow2-parts -O qcow2 -o extended_l2=on,cluster_size=16k
vmdk -O vmdk
vmdk-stream -O vmdk -o subformat=streamOptimized
vhd -O vpc -o force_size=on
vhd-fixed -O vpc -o subformat=fixed,force_size=on
LIST
qemu-img create -q -u -f qcow2 -o cluster_size=4k -b "$work/disk" -F raw "$work/image" 1M
seed '\002' qcow2-child "$work/image"
printf '# Disk DescriptorFile\nCID=1\nparentCID=2\nparentFileNameHint="a"\nRW 9 FLAT "b" 1\nRW 9 SPARSE "c"\nRW 9 ZERO\n' > "$work/image"
seed '\001' vmdk-text "$work/image"
# What stands behind the metadata of an empty VHDX is zeros.
qemu-img create -q -f vhdx -o block_size=1M "$work/image" 2M
truncate -s 3300K "$work/image"
seed '\002' vhdx "$work/image"
for format in encase6 encase2 smart; do
    ewfacquire -u -q -c fast -f "$format" -t "$work/$format" "$work/disk" > /dev/null
    for image in "$work/$format".?01; do seed '\000' "ewf-$format" "$image"; done
done
mkdir -p corpus/squashfs corpus/erofs corpus/tar "$work/packed/a/[root]/etc"
head -c 9000 /dev/urandom > "$work/packed/a/random"
yes 'the same line again' | head -n 2000 > "$work/packed/a/text"
truncate -s 300K "$work/packed/a/sparse"
echo end >> "$work/packed/a/sparse"
ln "$work/packed/a/text" "$work/packed/again"
ln -s "$(printf 'x%.0s' $(seq 90))" "$work/packed/link"
echo 'ID=test' > "$work/packed/a/[root]/etc/os-release"
setfattr -n user.note -v value "$work/packed/a/text" || true
for method in gzip lzma lzo xz lz4 zstd; do
    mksquashfs "$work/packed" "corpus/squashfs/$method" -noappend -quiet -no-progress -comp "$method" -b 4096 > /dev/null
done
mksquashfs "$work/packed" corpus/squashfs/plain -noappend -quiet -no-progress -noI -noD -noF -noX -b 4096 > /dev/null
mkfs.erofs -d0 corpus/erofs/plain "$work/packed" > /dev/null
mkfs.erofs -d0 --chunksize=4096 corpus/erofs/chunks "$work/packed" > /dev/null
mkfs.erofs -d0 -zlz4 corpus/erofs/lz4 "$work/packed" > /dev/null
mkfs.erofs -d0 -zlz4hc -C16384 -Efragments,dedupe corpus/erofs/fragments "$work/packed" > /dev/null
mkfs.erofs -d0 -zlz4 -Eztailpacking,legacy-compress corpus/erofs/tails "$work/packed" > /dev/null
for method in lzma deflate zstd; do
    # Newer releases only.
    mkfs.erofs -d0 "-z$method" -C16384 "corpus/erofs/$method" "$work/packed" > /dev/null 2>&1 || rm -f "corpus/erofs/$method"
done
for format in v7 ustar oldgnu gnu posix; do
    tar --format="$format" -cf "corpus/tar/$format" -C "$work/packed" .
done
tar --format=gnu --sparse -cf corpus/tar/sparse-gnu -C "$work/packed" .
tar --format=posix --sparse --xattrs -cf corpus/tar/sparse-posix -C "$work/packed" .
tar --format=posix -czf corpus/tar/gzip -C "$work/packed" .
# A Btrfs as the list of its blocks that fuzz_targets/btrfs.rs takes; with root, one with a log as well.
mkdir -p corpus/btrfs
blocks() {
    perl -e 'binmode STDIN; binmode STDOUT; for (my $n = 0; read(STDIN, my $b, 4096); $n++) {
        print pack("V", $n), $b if $b =~ /[^\0]/ && length($b) == 4096 }' < "$1" > "$2"
}
truncate -s 16M "$work/btrfs"
mkfs.btrfs -q -M -n 4096 -m single -d single --rootdir "$work/tree" "$work/btrfs"
blocks "$work/btrfs" corpus/btrfs/plain
if [ "$(id -u)" = 0 ] && mkdir "$work/mnt" && mount -o loop,commit=3600,compress=lzo "$work/btrfs" "$work/mnt"; then
    btrfs -q subvolume create "$work/mnt/sub"
    btrfs -q subvolume snapshot "$work/mnt/sub" "$work/mnt/snap"
    for name in a b c d; do yes $name | head -c 9000 > "$work/mnt/sub/$name"; done
    sync -f "$work/mnt"
    rm "$work/mnt/sub/a"; mv "$work/mnt/sub/b" "$work/mnt/sub/e"; echo new > "$work/mnt/sub/c"
    sync "$work/mnt/sub/c" "$work/mnt/sub"
    cp --sparse=always "$work/btrfs" "$work/btrfs-log"
    umount "$work/mnt"
    blocks "$work/btrfs-log" corpus/btrfs/log
fi

mkdir -p corpus/luks corpus/lvm corpus/md corpus/bitlocker
truncate -s 4M "$work/luks"
printf secret | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 "$work/luks" -
head -c 592 "$work/luks" > corpus/luks/luks1
truncate -s 20M "$work/luks"
printf secret | cryptsetup -q luksFormat --type luks2 --pbkdf argon2id --pbkdf-memory 1024 --pbkdf-force-iterations 4 "$work/luks" -
dd if="$work/luks" bs=4096 skip=1 count=1 status=none | tr -d '\000' > corpus/luks/luks2
# LVM and md are made by hand: their tools need the kernel.
physical='physical_volumes { p { id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa" pe_start = 128 pe_count = 20 } }'
segment() { printf '%s { id = "%s" status = ["VISIBLE"] segment1 { start_extent = 0 extent_count = 2 %s } } ' "$1" "$1" "$2"; }
{
    printf 'g { id = "g" seqno = 1 extent_size = 8 %s logical_volumes { ' "$physical"
    segment l 'type = "striped" stripes = ["p", 0]'
    segment s 'type = "striped" stripe_size = 8 stripes = ["p", 2, "p", 4]'
    segment r 'type = "raid5_ls" device_count = 3 stripe_size = 8 raids = ["l", "l", "s", "s", "l", "l"]'
    segment m 'type = "mirror" mirrors = ["l", 0, "s", 0]'
    segment n 'type = "snapshot" chunk_size = 8 origin = "l" cow_store = "s"'
    segment t 'type = "thin" thin_pool = "q" device_id = 1'
    segment q 'type = "thin-pool" metadata = "l" pool = "s" chunk_size = 128'
    printf '} }'
} > corpus/lvm/kinds
word() { printf "\\$(printf %o $(($1 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\$(printf %o $(($1 >> 16 & 255)))\\$(printf %o $(($1 >> 24 & 255)))"; }
# One superblock 1.1 of a set of one or three members, by level and layout.
member() {
    word 0xa92b4efc; word 1; word 0; word 0; printf 0123456789abcdefset; head -c 29 /dev/zero; word 0; word 0
    word "$1"; word "$2"; word 8; word 0; word 8; word 3; head -c 32 /dev/zero
    word 8; word 0; word 8; word 0; word 0; word 0; word 0; word 0; word "$3"; head -c 28 /dev/zero; head -c 8 /dev/zero; word 5; word 0
    word -1; word -1; word 0; word 3; head -c 32 /dev/zero; printf '\000\000\001\000\002\000'
    head -c 3834 /dev/zero; head -c 4096 /dev/urandom
}
for set in '1 0' '0 2' '5 2' '6 2' '10 258' '-1 0'; do
    { printf '\002'; for number in 0 1 2; do member ${set% *} ${set#* } $number; done; } > "corpus/md/set$(echo "$set" | tr ' ' -)"
done
# A header of version 2 with a protector, a key in the clear and a boxed key.
{ printf -- '-FVE-FS-\024\000\002\000\004\000\004\000'; head -c 240 /dev/zero; } > corpus/bitlocker/header
rm -f corpus/ntfs/ntfs
truncate -s 1100K corpus/ntfs/ntfs
mkntfs -q -F -f -c 512 -L N corpus/ntfs/ntfs 2> /dev/null
# Without root the volume stays as it was made.
mkdir "$work/ntfs-mounted"
if [ "$(id -u)" = 0 ] && ntfs-3g -o compression corpus/ntfs/ntfs "$work/ntfs-mounted" 2> /dev/null; then
    mkdir "$work/ntfs-mounted/a" "$work/ntfs-mounted/b"
    setfattr -n system.ntfs_attrib_be -v 0x00000800 "$work/ntfs-mounted/b"
    seq 9000 > "$work/ntfs-mounted/b/packed"
    for name in $(seq 40); do : > "$work/ntfs-mounted/a/a-longer-name-$name"; done
    setfattr -n user.stream -v value "$work/ntfs-mounted/a/a-longer-name-1"
    truncate -s 900K "$work/ntfs-mounted/sparse"
    ln -s a "$work/ntfs-mounted/link"
    rm "$work/ntfs-mounted"/a/*3
    umount "$work/ntfs-mounted"
fi
# The smallest hive (base block, one bin, a root key and its descriptor), filled by hivex.
perl -e '
    my $bin = "hbin" . pack("V*", 0, 4096) . ("\0" x 20);
    my $key = "nk" . pack("v", 0x2c) . ("\0" x 24) . pack("V*", (0xffffffff) x 2) . pack("V", 0);
    $key .= pack("V*", 0xffffffff, 0x80, 0xffffffff) . ("\0" x 20) . pack("vv", 4, 0) . "ROOT";
    my $descriptor = "sk\0\0" . pack("V*", 0x80, 0x80, 1, 20) . pack("V*", 0x80040001, (0) x 4);
    $bin .= pack("V", 0xffffffa0) . $key . ("\0" x (0x5c - length $key));
    $bin .= pack("V", 0xffffffd0) . $descriptor . ("\0" x (0x2c - length $descriptor)) . pack("V", 4096 - 0xb0);
    my $base = "regf" . pack("V*", 1, 1, 0, 0, 1, 5, 0, 1, 0x20, 4096, 1);
    $base .= "\0" x (508 - length $base);
    my $sum = 0;
    $sum ^= $_ for unpack("V*", $base);
    print $base . pack("V", $sum) . ("\0" x 3584) . $bin . ("\0" x (4096 - length $bin));
' > corpus/registry/hive
printf 'add Microsoft\ncd Microsoft\nadd Windows NT\ncd Windows NT\nadd CurrentVersion\ncd CurrentVersion\nsetval 3\nProductName\nstring:Windows\nUBR\ndword:0x7\nData\nhex:3:01,02,03,04,05\ncommit\n' \
    | hivexsh -w corpus/registry/hive
# AFF4 volumes by hand, each chunk compressed in its own way; the ZIP file by Python.
mkdir -p corpus/aff4
python3 - corpus/aff4 <<'PYTHON'
import struct, sys, zipfile, zlib
chunk = (b"written once " * 400)[:4096]
literal = b"\x80\x20\xf4" + struct.pack("<H", 4095) + chunk
block = bytes([0xF0] + [255] * 16 + [4096 - 15 - 16 * 255]) + chunk
deflate = zlib.compressobj(wbits=-15)
packed = {
    "http://code.google.com/p/snappy/": literal,
    "https://code.google.com/p/lz4/": block,
    "https://tools.ietf.org/html/rfc1951": deflate.compress(chunk) + deflate.flush(),
    "http://aff4.org/Schema#NullCompressor": chunk,
}
for number, (method, data) in enumerate(packed.items()):
    with zipfile.ZipFile(f"{sys.argv[1]}/method{number}", "w") as volume:
        volume.comment = b"aff4://v"
        volume.writestr("container.description", "aff4://v")
        volume.writestr("version.txt", "major=1\nminor=0\ntool=seeds\n")
        stream = "aff4%3A%2F%2Fs/00000000"
        volume.writestr(stream, data * 2)
        volume.writestr(stream + ".index", struct.pack("<QIQI", 0, len(data), len(data), len(data)))
        entries = [(0, 4096, 0, 0), (4096, 4096, 4096, 1), (8192, 512, 0, 2), (9216, 4096, 4096, 0)]
        volume.writestr("aff4%3A%2F%2Fm/map", b"".join(struct.pack("<QQQI", *entry) for entry in entries))
        schema = "http://aff4.org/Schema#"
        volume.writestr("aff4%3A%2F%2Fm/idx", f"aff4://s\n{schema}SymbolicStreamFF\n{schema}UnreadableData\n")
        volume.writestr("information.turtle", f"""@prefix aff4: <{schema}> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
<aff4://i> a aff4:Image, aff4:DiskImage ; aff4:dataStream <aff4://m> ; aff4:size "13312"^^xsd:long ;
    aff4:hash "00"^^aff4:MD5 .
<aff4://m> a aff4:Map ; aff4:mapGapDefaultStream aff4:Zero .
<aff4://s> a aff4:ImageStream ; aff4:chunkSize 4096 ; aff4:chunksInSegment 2 ; aff4:size 8192 ;
    aff4:compressionMethod <{method}> .
""")
PYTHON
# Of the case: what age encrypts to the key of fuzz_targets/age.rs, bags as tar archives and by their manifests, contacts,
# and lines of triage.
mkdir -p corpus/age corpus/bag corpus/contacts corpus/findings
recipient=$(echo AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG | age-keygen -y 2> /dev/null || true)
if [ -n "$recipient" ]; then
    printf '' | age -r "$recipient" > corpus/age/empty
    seq 300 | age -r "$recipient" > corpus/age/short
    head -c 65536 /dev/zero | age -r "$recipient" > corpus/age/chunk
    seq 9 | age -r "$recipient" -r "$(age-keygen 2> /dev/null | age-keygen -y)" > corpus/age/two
fi
printf '%s' "${recipient:-age1}" > corpus/age/recipient
mkdir -p "$work/bag/data/exhibits/001-x"
printf 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n' > "$work/bag/bagit.txt"
printf 'Payload-Oxum: 2.1\n' > "$work/bag/bag-info.txt"
printf a > "$work/bag/data/exhibits/001-x/a"
(cd "$work/bag" && sha256sum data/exhibits/001-x/a > manifest-sha256.txt && sha256sum bag-info.txt bagit.txt manifest-sha256.txt > tagmanifest-sha256.txt)
for format in ustar posix; do
    { printf '\000'; tar --format="$format" --sort=name -C "$work" -c bag; } > "corpus/bag/$format"
done
{
    printf '\001'; printf a | sha256sum | sed 's,-,data/a,'; printf '\000'
    (cd "$work/bag" && sha256sum bagit.txt); printf '\000a'
} > corpus/bag/manifests
printf '[[contact]]\nname = "a"\norder = 1\nphones = ["1"]\n[[contact]]\nname = "b"\ncalled_by = "a"\n[[contact]]\nname = "c"\ncalled_by = "c"\n' > corpus/contacts/tree
cat > corpus/findings/lines <<'LINES'
{"address":"sda:2","report":{"coverage":{"rules_skipped":["r"]},"findings":[{"finding_id":"1","rule":"GBX-0001","severity":"high","path":"/a","line":3,"times":{"modified":"2026-01-01T00:00:00Z","born":null},"mitre":["T1"]},{"rule":"GBX-0002","severity":"x"}],"problems":[{"a":1}],"system":{"hostname":"h"}}}
{"address":"sda:3","report":{"findings":[],"problems":[]}}
LINES
printf '{"report":{"findings":[[[["\\u202e\\\\"]]],{"rule":"a","severity":"low"},7,"s"],"problems":["' > corpus/findings/half
