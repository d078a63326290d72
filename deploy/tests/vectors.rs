//! The node's digests and signatures against vectors that other implementations have made; the
//! contract is tested against the same file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloy_primitives::{Address, B256, hex};
use serde_json::Value;
use thunder_deploy::tools;
use thunder_protocol::{Amount, Balances, Crypto, Domain, Nonce, Receipt, Signature, Signer, message};

/// The texts of a vector.
struct Vector<'a>(&'a Value);

impl Vector<'_> {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("{field} in {}", self.0))
    }

    fn number(&self, field: &str) -> u128 {
        self.text(field).parse().unwrap()
    }

    fn word(&self, field: &str) -> B256 {
        self.text(field).parse().unwrap()
    }

    fn amount(&self, field: &str) -> Amount {
        Amount::from_base_units(self.number(field)).unwrap()
    }

    fn receipt(&self) -> Receipt {
        let nonce = Nonce::new(self.number("nonce").try_into().unwrap()).unwrap();
        Receipt { nonce, balances: Balances { a: self.amount("balanceA"), b: self.amount("balanceB") } }
    }

    fn check(&self) {
        let name = self.text("name");
        let channel: Address = self.text("verifyingContract").parse().unwrap();
        assert_eq!(channel.to_string(), self.text("verifyingContract"), "{name}: checksum");
        let domain = Domain::new(self.number("chainId").try_into().unwrap(), channel);
        let receipt = self.receipt();
        assert_eq!(message(&receipt), self.word("structHash"), "{name}: struct hash");
        assert_eq!(domain.separator(), self.word("domainSeparator"), "{name}: domain separator");
        let digest = domain.digest(&receipt);
        assert_eq!(digest, self.word("digest"), "{name}: digest");
        if receipt.nonce == Nonce::FINAL {
            assert_eq!(domain.final_digest(receipt.balances), digest, "{name}: FINAL");
        }
        self.check_signature(digest);
    }

    fn check_signature(&self, digest: B256) {
        let name = self.text("name");
        let signer = Signer::new(&self.word("privateKey").0, &[1; 32]).unwrap();
        assert_eq!(signer.address().to_string(), self.text("signer"), "{name}: signer");
        let bytes = hex::decode_to_array(self.text("signature")).unwrap();
        let signature = Signature::from_bytes(bytes);
        assert_eq!(signer.sign(&digest), signature, "{name}: signature");
        assert!(signer.verify(&digest, &signature, &signer.address()), "{name}: verifies");
        let other = Address::repeat_byte(1);
        assert!(!signer.verify(&digest, &signature, &other), "{name}: is nobody else's");
        assert!(!signer.verify(&!digest, &signature, &signer.address()), "{name}: is for nothing else");
    }
}

#[test]
fn every_vector_holds() {
    let path = tools::contracts().unwrap().join("test").join("vectors").join("digests.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(file["receiptType"], "Receipt(uint256 nonce,uint256 balanceA,uint256 balanceB)");
    assert_eq!((&file["domain"]["name"], &file["domain"]["version"]), (&"Thunder".into(), &"1".into()));
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 20, "only {} vectors", vectors.len());
    for vector in vectors {
        Vector(vector).check();
    }
}
