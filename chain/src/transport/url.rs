//! `RpcUrl` and `RpcUrls`: the value of `--RPC`, parsed, and shown without the keys in it.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The URL of an RPC endpoint: `IP:port`, `host:port`, or an `http(s)://` or `ws(s)://` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl(Url);

/// Several endpoints of one chain, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcUrls(Vec<RpcUrl>);

/// Why a text is no RPC endpoint.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no RPC endpoint: {reason}; write IP:port or an http(s):// or ws(s):// URL")]
pub struct InvalidRpcUrl {
    text: String,
    reason: String,
}

/// The most endpoints of one chain: each is asked everything.
const MAX_ENDPOINTS: usize = 8;

impl RpcUrl {
    /// The scheme: `http`, `https`, `ws` or `wss`.
    pub(crate) fn scheme(&self) -> &str {
        self.0.scheme()
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for RpcUrl {
    type Err = InvalidRpcUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason: String| InvalidRpcUrl { text: text.into(), reason };
        let has_scheme = text.contains("://");
        let full = if has_scheme { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&full).map_err(|error| invalid(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return Err(invalid(format!("unknown scheme {}", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("no host".into()));
        }
        // The URL itself does not keep a port that is the scheme's own.
        let authority = text.split(['/', '?', '#']).next().unwrap_or(text);
        let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        let port = after_host.rsplit_once(':').map(|(_, port)| port);
        if !has_scheme && port.is_none_or(|port| port.parse::<u16>().is_err()) {
            return Err(invalid("the port is missing".into()));
        }
        Ok(Self(url))
    }
}

/// Without credentials and without the path and query, where providers put their keys.
impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        let hidden = self.0.path().len() > 1 || self.0.query().is_some();
        if hidden { f.write_str("/…") } else { Ok(()) }
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl RpcUrls {
    /// The endpoints, in the order in which they were named.
    pub fn iter(&self) -> impl Iterator<Item = &RpcUrl> {
        self.0.iter()
    }

    /// Unique names for logs and answers. Two URLs of one host are told apart by a number: the rest of them may be a key.
    pub(crate) fn labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for url in &self.0 {
            let label = url.to_string();
            let numbered = (2..).map(|number| format!("{label} ({number})"));
            let mut names = std::iter::once(label.clone()).chain(numbered);
            labels.extend(names.find(|name| !labels.contains(name)));
        }
        labels
    }
}

impl From<RpcUrl> for RpcUrls {
    fn from(url: RpcUrl) -> Self {
        Self(vec![url])
    }
}

impl FromStr for RpcUrls {
    type Err = InvalidRpcUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason: &str| InvalidRpcUrl { text: text.into(), reason: reason.into() };
        let urls = text.split(',').map(|part| part.trim().parse()).collect::<Result<Vec<RpcUrl>, _>>()?;
        if urls.len() > MAX_ENDPOINTS {
            return Err(invalid("more than eight"));
        }
        let is_twice = urls.iter().enumerate().any(|(index, url)| urls[..index].contains(url));
        if is_twice {
            return Err(invalid("one is named twice"));
        }
        Ok(Self(urls))
    }
}

/// As it is written on the command line, without secrets.
impl fmt::Display for RpcUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, url) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{url}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_urls_of_one_host_have_names_of_their_own() {
        let urls: super::RpcUrls = "https://a.example/v2/one,https://a.example/v2/two,b:1".parse().unwrap();
        assert_eq!(urls.labels(), ["https://a.example/…", "https://a.example/… (2)", "http://b:1"]);
    }

    use super::*;

    #[test]
    fn entry_points_are_read_as_people_write_them() {
        let shown = |text: &str| text.parse::<RpcUrl>().unwrap().to_string();
        assert_eq!(shown("localhost:8545"), "http://localhost:8545");
        assert_eq!(shown("127.0.0.1:8545"), "http://127.0.0.1:8545");
        assert_eq!(shown("127.0.0.1:80"), "http://127.0.0.1");
        assert_eq!(shown("[::1]:8545"), "http://[::1]:8545");
        assert_eq!(shown("ws://localhost:8545"), "ws://localhost:8545");
        assert_eq!(
            shown("https://user:pass@node.example/v3/key?x=1"),
            "https://node.example/…",
            "no secrets"
        );
        for bad in ["", "ftp://x", "http://", "localhost:99999", "a b"] {
            assert!(bad.parse::<RpcUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_entry_point_without_a_port_is_refused() {
        for bad in ["localhost", "8545", "[::1]", "127.0.0.1", "localhost:", "localhost/8545"] {
            let error = bad.parse::<RpcUrl>().unwrap_err().to_string();
            assert!(error.contains("the port is missing"), "{bad}: {error}");
        }
    }

    #[test]
    fn g6_several_endpoints_are_separated_by_commas() {
        let urls: RpcUrls = "localhost:8545, https://node.example/key".parse().unwrap();
        assert_eq!(urls.to_string(), "http://localhost:8545, https://node.example/…");
        for bad in ["localhost:1,", ",", "localhost:1,localhost:1", "localhost:1,localhost"] {
            assert!(bad.parse::<RpcUrls>().is_err(), "{bad:?}");
        }
    }
}
