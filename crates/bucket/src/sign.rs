//! Signature Version 4 of Amazon's services, for S3 ("Authenticating Requests: Using the Authorization Header").

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::Access;

/// Gives the time in seconds since 1970, for the dates of requests: stores refuse what is 15 minutes off.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A request as it is signed.
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'a str,
    /// Encoded.
    pub(crate) path: &'a str,
    /// Encoded and in order.
    pub(crate) query: &'a str,
    /// Further headers to sign, in small letters.
    pub(crate) headers: &'a [(&'a str, String)],
    /// SHA-256 of the body, in hexadecimal.
    pub(crate) payload: &'a str,
}

/// SHA-256 of a body, as it is signed.
pub(crate) fn payload(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// All headers of the signed request but those of the transport.
pub(crate) fn sign(
    access: &Access,
    request: &Unsigned<'_>,
    unix_seconds: u64,
) -> Vec<(String, String)> {
    let date = timestamp(unix_seconds);
    let day = date.get(..8).unwrap_or_default();
    let payload = request.payload.to_owned();
    let mut headers: Vec<(String, String)> = vec![
        ("host".to_owned(), access.host.clone()),
        ("x-amz-content-sha256".to_owned(), payload.clone()),
        ("x-amz-date".to_owned(), date.clone()),
    ];
    if let Some(token) = &access.session_token {
        headers.push(("x-amz-security-token".to_owned(), token.to_string()));
    }
    headers.extend(request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
    for (name, value) in &headers {
        canonical.push_str(&format!("{name}:{}\n", value.trim()));
    }
    canonical.push_str(&format!("\n{names}\n{payload}"));
    let scope = format!("{day}/{}/s3/aws4_request", access.region);
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let mut key = mac(format!("AWS4{}", access.secret.as_str()).as_bytes(), day);
    for step in [access.region.as_str(), "s3", "aws4_request"] {
        key = mac(&key, step);
    }
    let signature = hex(&mac(&key, &text));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
        access.key_id
    );
    headers.push(("authorization".to_owned(), authorization));
    headers
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length are taken: the error cannot come, and an empty key signs nothing a store accepts.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        },
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// ISO 8601 in its short form, UTC.
fn timestamp(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{:02}Z", second % 60)
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar. Years count from March, so that the leap
/// day is the last of them.
fn civil(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between the first of March of the year 0 and 1970.
    let days = days.min(2_932_896).saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let leaps = (day / 1460).saturating_add(day / 146_096).saturating_sub(day / 36_524);
    let year = day.saturating_sub(leaps) / 365;
    let before = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let day = day.saturating_sub(before);
    let month = day.saturating_mul(5).saturating_add(2) / 153;
    let month_begins = month.saturating_mul(153).saturating_add(2) / 5;
    let day = day.saturating_sub(month_begins).saturating_add(1);
    let is_old = month < 10;
    let month = if is_old { month.saturating_add(3) } else { month.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(year);
    (if is_old { year } else { year.saturating_add(1) }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_369_353_600, "20130524T000000Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(timestamp(seconds), expected);
        }
    }

    /// Vouched for by the examples that Amazon publishes with the signature's description, with its example keys.
    #[test]
    fn signatures_are_those_published() {
        let mut access = Access::from_file_text(
            "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
             aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
        )
        .unwrap();
        access.host = "examplebucket.s3.amazonaws.com".to_owned();
        let range = [("range", "bytes=0-9".to_owned())];
        for (path, query, headers, expected) in [
            (
                "/test.txt",
                "",
                &range[..],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "/",
                "lifecycle=",
                &[],
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "/",
                "max-keys=2&prefix=J",
                &[],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let request = Unsigned { method: "GET", path, query, headers, payload: &payload(b"") };
            let signed = sign(&access, &request, 1_369_353_600);
            let (_, found) = signed.last().unwrap();
            assert!(found.ends_with(&format!("Signature={expected}")), "{path}?{query}: {found}");
        }
    }
}
