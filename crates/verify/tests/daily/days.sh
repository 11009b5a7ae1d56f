# What the owner of a system does; run in it by sh. /debs has the packages it was installed from.
set -eu
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
# Accounts.
useradd -m -s /bin/bash alice
echo 'alice:an-ordinary-one' | chpasswd
usermod -aG sudo alice
groupadd team
passwd -l root >/dev/null
su alice -c 'mkdir -p ~/.ssh ~/bin && ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519 && printf "#!/bin/sh\necho hello\n" > ~/bin/hello && chmod +x ~/bin/hello'
su alice -c 'cd ~ && git init -q work && cd work && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one'
su alice -c 'echo "5 4 * * * ~/bin/hello" | crontab -'
# Packages: each again over itself with all scripts and triggers, one removed and installed again, one purged.
dpkg -i /debs/cron_*.deb /debs/logrotate_*.deb /debs/bash_*.deb /debs/openssh-server_*.deb /debs/sudo_*.deb >/dev/null
dpkg -r at >/dev/null
dpkg -i /debs/at_*.deb >/dev/null
dpkg -r rsyslog >/dev/null
dpkg --force-depends --purge anacron >/dev/null
# Services and the machine's own settings.
systemctl enable systemd-networkd.service systemd-timesyncd.service >/dev/null 2>&1 || true
systemctl disable ssh.service >/dev/null 2>&1 || true
systemctl set-default multi-user.target >/dev/null 2>&1
systemctl mask ctrl-alt-del.target >/dev/null 2>&1
echo server7 > /etc/hostname
ln -sf /usr/share/zoneinfo/Europe/Zurich /etc/localtime
update-alternatives --set editor /usr/bin/vim.tiny >/dev/null
systemd-machine-id-setup >/dev/null 2>&1
# What runs by itself.
systemd-tmpfiles --create >/dev/null 2>&1 || true
systemd-sysusers >/dev/null 2>&1
logrotate -f /etc/logrotate.conf
# Not apt-compat, which waits up to half an hour.
for job in /etc/cron.daily/[d-z]*; do "$job" >/dev/null 2>&1 || true; done
ldconfig
update-initramfs -u >/dev/null 2>&1
python3 -c 'import json, ssl, sqlite3'
journalctl --version >/dev/null
logger -s hello 2>/dev/null || true
apt-get clean
