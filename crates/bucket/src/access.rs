//! How a store is reached: endpoint, region, and the keys. Secrets come from a file or from the environment, as the
//! programs of the trade have them, and never from a command line, where every user of a machine can read them.

use std::fmt;

use hashing::escape_name;
use zeroize::Zeroizing;

use crate::Error;

/// Endpoint and keys of a store.
#[derive(Clone)]
pub struct Access {
    /// `https://host[:port]`, without a path.
    pub(crate) endpoint: String,
    /// Host and port as requests name them.
    pub(crate) host: String,
    pub(crate) region: String,
    pub(crate) key_id: String,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) session_token: Option<Zeroizing<String>>,
    ca_bundle: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Names in a file, and those of the environment that mean the same; the first that is set counts.
const NAMES: [(&str, &[&str]); 6] = [
    ("aws_access_key_id", &["AWS_ACCESS_KEY_ID"]),
    ("aws_secret_access_key", &["AWS_SECRET_ACCESS_KEY"]),
    ("aws_session_token", &["AWS_SESSION_TOKEN"]),
    ("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("endpoint_url", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
    ("ca_bundle", &["AWS_CA_BUNDLE"]),
];

impl Access {
    /// From the text of a file of lines `name = value`, as the AWS programs keep theirs: the section `[default]`, or what
    /// stands before any section. The names are `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`, `region`,
    /// `endpoint_url`, `ca_bundle`.
    ///
    /// # Errors
    /// When a key is missing, or the endpoint is none.
    pub fn from_file_text(text: &str) -> Result<Self, Error> {
        let value = |wanted: &str| {
            let mut is_ours = true;
            let mut found = None;
            for line in text.lines().map(str::trim) {
                if let Some(section) = line.strip_prefix('[') {
                    is_ours = section.trim_end_matches(']').trim() == "default";
                } else if is_ours
                    && !line.starts_with(['#', ';'])
                    && let Some((name, value)) = line.split_once('=')
                    && name.trim() == wanted
                {
                    found = Some(value.trim().to_owned());
                }
            }
            found
        };
        Self::from_values(&value, "the file")
    }

    /// From the environment, which `variable` looks up.
    ///
    /// # Errors
    /// As [`Access::from_file_text`].
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let value = |wanted: &str| {
            let (_, names) = NAMES.iter().find(|(name, _)| *name == wanted)?;
            names.iter().find_map(|name| variable(name))
        };
        Self::from_values(&value, "the environment")
    }

    fn from_values(value: &dyn Fn(&str) -> Option<String>, place: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadAccess { reason };
        let value = |name: &str| value(name).filter(|value| !value.is_empty());
        let needed = |name: &str| {
            let variable = NAMES.iter().find(|(known, _)| *known == name);
            let variable = variable.and_then(|(_, names)| names.first()).copied();
            value(name).ok_or_else(|| {
                bad(format!(
                    "{place} has no {name} (in the environment {})",
                    variable.unwrap_or_default()
                ))
            })
        };
        let region = value("region").unwrap_or_else(|| "us-east-1".to_owned());
        let is_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if region.len() > 64 || !region.bytes().all(is_region) {
            return Err(bad(format!("\"{}\" is no region", escape_name(region.as_bytes()))));
        }
        let endpoint = value("endpoint_url")
            .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"))
            .trim_end_matches('/')
            .to_owned();
        let host = host(&endpoint)?;
        let key_id = needed("aws_access_key_id")?;
        if !key_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'/') {
            return Err(bad("the access key id has letters that none has".to_owned()));
        }
        let session_token = value("aws_session_token").map(Zeroizing::new);
        if session_token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(bad("the session token has letters that none has".to_owned()));
        }
        Ok(Self {
            endpoint,
            host,
            region,
            key_id,
            secret: Zeroizing::new(needed("aws_secret_access_key")?),
            session_token,
            ca_bundle: value("ca_bundle"),
        })
    }

    /// Where the store is, safe to print.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The file with the certificates that are to be trusted in place of those built in, if one is named.
    #[must_use]
    pub fn ca_bundle(&self) -> Option<&str> {
        self.ca_bundle.as_deref()
    }
}

/// Host and port of an endpoint.
fn host(endpoint: &str) -> Result<String, Error> {
    let bad = |reason: &str| {
        let shown = escape_name(endpoint.as_bytes());
        Err(Error::BadAccess { reason: format!("the endpoint \"{shown}\" {reason}") })
    };
    let (is_plain, host) = match endpoint.split_once("://") {
        Some(("https", host)) => (false, host),
        Some(("http", host)) => (true, host),
        _ => return bad("begins with neither https:// nor http://"),
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    if host.is_empty() || host.len() > 300 || !host.bytes().all(is_letter) {
        return bad("is more than a host and a port");
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    if is_plain && !matches!(name, "127.0.0.1" | "::1" | "localhost") {
        return bad("has no TLS: evidence would cross the network readable and changeable");
    }
    // The usual port is not named in requests.
    let usual = if is_plain { ":80" } else { ":443" };
    Ok(host.strip_suffix(usual).unwrap_or(host).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[other]\naws_access_key_id = WRONG\n[default]\n# mine\naws_access_key_id=AKID\n\
                        aws_secret_access_key = s/e+c=\nendpoint_url = https://Store.example:9000/\n";

    #[test]
    fn files_and_environment_mean_the_same() {
        let access = Access::from_file_text(FILE).unwrap();
        assert_eq!(access.key_id, "AKID");
        assert_eq!(*access.secret, "s/e+c=");
        assert_eq!(
            (access.endpoint(), access.host.as_str()),
            ("https://Store.example:9000", "store.example:9000")
        );
        assert_eq!(access.region, "us-east-1");
        assert!(!format!("{access:?}").contains("s/e+c="));
        let set = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("AKID".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
            "AWS_DEFAULT_REGION" => Some("eu-central-1".to_owned()),
            _ => None,
        };
        let access = Access::from_environment(&set).unwrap();
        assert_eq!(access.endpoint(), "https://s3.eu-central-1.amazonaws.com");
        let missing = Access::from_environment(&|_| None).unwrap_err().to_string();
        assert!(missing.contains("AWS_ACCESS_KEY_ID"), "{missing}");
    }

    #[test]
    fn endpoints_are_hosts_with_tls() {
        assert_eq!(host("http://127.0.0.1:5000").unwrap(), "127.0.0.1:5000");
        assert_eq!(host("http://[::1]:80").unwrap(), "[::1]");
        assert_eq!(host("https://s3.example:443").unwrap(), "s3.example");
        for wrong in [
            "http://store.example",
            "http://127.0.0.1.example",
            "ftp://x",
            "https://a/b",
            "https://user@x",
            "https://",
            "store.example",
        ] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
