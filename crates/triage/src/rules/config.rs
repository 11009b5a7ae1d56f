//! Configuration that makes the loader, the kernel, the log-in, the package manager or the network run or obey something.
//!
//! Files a package owns and that are as delivered are the distribution's business and left aside.

use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::{contains, meaningful, words};

/// Variables that make programs run foreign code.
const VARIABLES: &[&str] = &[
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "BASH_ENV",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "PYTHONSTARTUP",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
];
/// Parts of host names whose redirection cuts off updates or protection.
const UPDATE_HOSTS: &[&str] = &[
    "debian.org",
    "ubuntu.com",
    "redhat.com",
    "fedoraproject.org",
    "centos.org",
    "opensuse.org",
    "suse.com",
    "alpinelinux.org",
    "archlinux.org",
    "kernel.org",
    "clamav.net",
    "virustotal.com",
    "github.com",
    "pypi.org",
];

/// A test of one line; `Some` tells what is wrong.
type Test = fn(&[u8]) -> Option<&'static str>;

pub(crate) fn apply(context: &mut Context<'_>) {
    preload(context);
    let tables: &[(&str, &[&str], Test)] = &[
        (
            "GBX-0503",
            &[
                "/etc/environment",
                "/etc/environment.d/*",
                "/etc/security/pam_env.conf",
                "/etc/default/*",
                "~/.pam_environment",
                "/etc/systemd/system.conf",
            ],
            environment,
        ),
        ("GBX-0901", &["/etc/pam.d/*", "/usr/lib/pam.d/*", "/etc/pam.conf"], pam),
        (
            "GBX-0903",
            &["/etc/modprobe.d/*", "/usr/lib/modprobe.d/*", "/lib/modprobe.d/*"],
            modprobe,
        ),
        (
            "GBX-0905",
            &["/etc/udev/rules.d/*", "/usr/lib/udev/rules.d/*", "/usr/local/lib/udev/rules.d/*"],
            udev,
        ),
        (
            "GBX-0906",
            &[
                "/etc/apt/apt.conf",
                "/etc/apt/apt.conf.d/*",
                "/etc/dpkg/dpkg.cfg",
                "/etc/dpkg/dpkg.cfg.d/*",
            ],
            package_hook,
        ),
        ("GBX-0907", &["/etc/apt/sources.list", "/etc/apt/sources.list.d/*"], package_source),
        ("GBX-0908", &["/etc/hosts"], hosts),
        ("GBX-0909", &["/etc/hosts.allow", "/etc/hosts.deny"], wrappers),
        ("GBX-0910", &["/etc/sysctl.conf", "/etc/sysctl.d/*", "/usr/lib/sysctl.d/*"], sysctl),
    ];
    let root = context.root;
    for (rule, patterns, test) in tables {
        for pattern in *patterns {
            for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
                if !context.is_foreign(item) && !context.is_changed_conffile(item) {
                    continue;
                }
                for (line, offset, text) in meaningful(&root.text(item.path).unwrap_or_default()) {
                    if let Some(what) = test(text) {
                        context
                            .report(rule, Spot::line(item.path, line, offset, text).detail(what));
                    }
                }
            }
        }
    }
}

fn preload(context: &mut Context<'_>) {
    let root = context.root;
    let path = b"/etc/ld.so.preload";
    for (line, offset, text) in meaningful(&root.text(path).unwrap_or_default()) {
        for library in text
            .split(|byte| byte.is_ascii_whitespace() || *byte == b':')
            .filter(|name| !name.is_empty())
        {
            let detail = match (root.item(library), context.is_owned(library)) {
                (None, _) => {
                    "the library does not exist on this disk: the entry has no effect, or it was removed"
                }
                (Some(_), true) => "the library belongs to a package",
                (Some(_), false) => "the library belongs to no package",
            };
            let spot = Spot::line(path, line, offset, text).detail(detail);
            let owned = root.item(library).is_some()
                && context.ownership.is_some()
                && context.is_owned(library);
            context.report("GBX-0501", if owned { spot.severity(Severity::Medium) } else { spot });
        }
    }
}

fn environment(line: &[u8]) -> Option<&'static str> {
    let line = line.trim_ascii().strip_prefix(b"export ").unwrap_or(line.trim_ascii());
    let line = line.strip_prefix(b"DefaultEnvironment=").unwrap_or(line);
    let line = line.trim_ascii_start();
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    let is_set = |name: &&&str| {
        let rest = line.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), Some(b'=' | b' ' | b'\t')))
    };
    VARIABLES
        .iter()
        .find(is_set)
        .map(|_| "sets a variable that makes programs load or run other code")
}

fn pam(line: &[u8]) -> Option<&'static str> {
    let all = words(line);
    let module = all.iter().find(|word| word.ends_with(b".so"))?;
    let name = module.rsplit(|byte| *byte == b'/').next().unwrap_or(module);
    let kind = all.first().copied().unwrap_or(&[]);
    let kind = kind.strip_prefix(b"-").unwrap_or(kind);
    let is_plain_sufficient = all.get(1) == Some(&&b"sufficient"[..]);
    if name == b"pam_exec.so" {
        Some("runs a program at each login")
    } else if name == b"pam_permit.so" && matches!(kind, b"auth") && is_plain_sufficient {
        Some("lets everybody in")
    } else if module.first() == Some(&b'/') && !contains(module, b"/security/") {
        Some("a module from outside the modules' directory")
    } else {
        None
    }
}

fn modprobe(line: &[u8]) -> Option<&'static str> {
    let all = words(line);
    let (verb, command) = (all.first()?, all.get(2)?);
    let harmless = [
        &b"/bin/true"[..],
        b"/bin/false",
        b"/usr/bin/true",
        b"/usr/bin/false",
        b"true",
        b"false",
        b"/sbin/modprobe",
        b"modprobe",
        b":",
    ];
    (matches!(*verb, b"install" | b"remove") && !harmless.contains(command))
        .then_some("runs a command")
}

fn udev(line: &[u8]) -> Option<&'static str> {
    let keys: [&[u8]; 5] =
        [b"RUN", b"PROGRAM", b"IMPORT{program}", b"ENV{SYSTEMD_WANTS}", b"ENV{SYSTEMD_USER_WANTS}"];
    let starts = |key: &&[u8]| {
        line.split(|byte| *byte == b',').any(|part| {
            let rest = part.trim_ascii_start().strip_prefix(*key);
            rest.is_some_and(|rest| {
                matches!(rest.trim_ascii_start().first(), Some(b'+' | b'=' | b'{' | b':'))
            })
        })
    };
    keys.iter().any(starts).then_some("starts a program when a device appears")
}

fn package_hook(line: &[u8]) -> Option<&'static str> {
    let lower = line.to_ascii_lowercase();
    let hooks: [&[u8]; 6] = [
        b"pre-invoke",
        b"post-invoke",
        b"pre-install-pkgs",
        b"post-invoke-success",
        b"status-logger",
        b"proxy-auto-detect",
    ];
    let at_start = lower.trim_ascii_start();
    let is_hook = hooks.iter().any(|hook| contains(&lower, hook)) && !at_start.starts_with(b"//");
    is_hook.then_some("runs a command when packages are handled")
}

fn package_source(line: &[u8]) -> Option<&'static str> {
    let squeezed: Vec<u8> =
        line.to_ascii_lowercase().into_iter().filter(|byte| *byte != b' ').collect();
    let found = contains(&squeezed, b"trusted=yes")
        || squeezed.starts_with(b"trusted:yes")
        || contains(&squeezed, b"allow-insecure=yes");
    found.then_some("accepts unsigned packages")
}

fn hosts(line: &[u8]) -> Option<&'static str> {
    let line = line.split(|byte| *byte == b'#').next().unwrap_or(line);
    let named = |name: &&[u8]| {
        let name = name.to_ascii_lowercase();
        UPDATE_HOSTS.iter().any(|host| {
            let rest = name.strip_suffix(host.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."))
        })
    };
    words(line)
        .iter()
        .skip(1)
        .any(named)
        .then_some("redirects a host that gives updates or protection")
}

fn wrappers(line: &[u8]) -> Option<&'static str> {
    let mut options = line.split(|byte| *byte == b':').skip(2).map(<[u8]>::trim_ascii_start);
    options
        .any(|option| option.starts_with(b"spawn") || option.starts_with(b"twist"))
        .then_some("runs a command for each connection")
}

fn sysctl(line: &[u8]) -> Option<&'static str> {
    let line = line.trim_ascii().strip_prefix(b"-").unwrap_or(line.trim_ascii());
    let at = line.iter().position(|byte| *byte == b'=')?;
    let key: Vec<u8> =
        line.get(..at)?.trim_ascii().iter().map(|b| if *b == b'/' { b'.' } else { *b }).collect();
    let value = line.get(at.saturating_add(1)..)?.trim_ascii();
    match key.as_slice() {
        b"kernel.core_pattern" if value.first() == Some(&b'|') => {
            Some("a crash of any program runs this")
        }
        b"kernel.modprobe" | b"kernel.hotplug" | b"kernel.poweroff_cmd" => {
            Some("the kernel runs this program")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_lines_pass_and_others_do_not() {
        let cases: &[(Test, &str, bool)] = &[
            (pam, "auth [success=1 default=ignore] pam_unix.so nullok", false),
            (pam, "session required pam_permit.so", false),
            (pam, "auth sufficient pam_permit.so", true),
            (pam, "-auth optional pam_exec.so quiet /x", true),
            (pam, "auth required /tmp/pam_x.so", true),
            (modprobe, "install usb-storage /bin/true", false),
            (modprobe, "install dccp /bin/sh -c x", true),
            (modprobe, "options foo bar=1", false),
            (udev, "ACTION==\"add\", RUN+=\"/x\"", true),
            (udev, "SUBSYSTEM==\"usb\", ATTR{idVendor}==\"1234\", MODE=\"0660\"", false),
            (hosts, "127.0.0.1 localhost", false),
            (hosts, "192.0.2.10 deb.debian.org", true),
            (hosts, "192.0.2.10 mydebian.org.example", false),
            (wrappers, "sshd: ALL: spawn /bin/x", true),
            (wrappers, "sshd: ALL", false),
            (sysctl, "kernel.core_pattern = |/tmp/x %p", true),
            (sysctl, "kernel.core_pattern = core", false),
            (environment, "LD_PRELOAD=/tmp/x.so", true),
            (environment, "PATH=/usr/bin", false),
            (package_hook, "DPkg::Post-Invoke {\"/x\";};", true),
            (package_source, "deb [ trusted=yes ] http://192.0.2.1/ x main", true),
        ];
        for (test, line, expected) in cases {
            assert_eq!(test(line.as_bytes()).is_some(), *expected, "{line}");
        }
    }
}
