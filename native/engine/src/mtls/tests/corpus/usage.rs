//! What it may be used for, and extensions that nobody knows.

use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose as Purpose, KeyPair, KeyUsagePurpose as Use};

use super::*;

const USAGE: Want = Want::Denies(Reason::MtlsUsage);
const MALFORMED: Want = Want::Denies(Reason::MtlsMalformed);

pub fn cases() -> Vec<Case> {
    let root = Ca::root("root");
    let leaf = |change: &dyn Fn(&mut CertificateParams)| root.leaf_pem(&KeyPair::generate().unwrap(), change);
    let purposes = |purposes: &[Purpose]| leaf(&|leaf| leaf.extended_key_usages = purposes.to_vec());
    let uses = |uses: &[Use]| leaf(&|leaf| leaf.key_usages = uses.to_vec());
    let custom = |oid: &'static [u64], critical: bool, content: &'static [u8]| {
        move |params: &mut CertificateParams| {
            let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
            extension.set_criticality(critical);
            params.custom_extensions.push(extension);
        }
    };
    let (unknown, known): (&[u64], &[u8]) = (&[1, 3, 6, 1, 4, 1, 99999, 1], &[5, 0]);
    let web = root.sub_with("web", |ca| ca.extended_key_usages = vec![Purpose::ServerAuth]);
    let clients = root.sub_with("clients", |ca| ca.extended_key_usages = vec![Purpose::ClientAuth]);
    let web_root = Ca::root_with("web root", |ca| ca.extended_key_usages = vec![Purpose::ServerAuth]);
    let lists_only = |ca: &mut CertificateParams| ca.key_usages = vec![Use::CrlSign];
    let (lists_root, lists_sub) = (Ca::root_with("lists root", lists_only), root.sub_with("lists", lists_only));
    let (odd_root, odd_sub) =
        (Ca::root_with("odd root", custom(unknown, true, known)), root.sub_with("odd", custom(unknown, true, known)));
    let noted = root.sub_with("noted", custom(unknown, false, known));
    let of = |ca: &Ca| ca.leaf_pem(&KeyPair::generate().unwrap(), |_| {});
    vec![
        direct("clientAuth", &root, purposes(&[Purpose::ClientAuth]), Want::Passes),
        direct("clientAuth among others", &root, purposes(&[Purpose::ServerAuth, Purpose::ClientAuth]), Want::Passes),
        direct("no extended key usage", &root, purposes(&[]), Want::Passes),
        direct("serverAuth only", &root, purposes(&[Purpose::ServerAuth]), USAGE),
        direct("anyExtendedKeyUsage only", &root, purposes(&[Purpose::Any]), USAGE),
        direct(
            "an extended key usage without purposes",
            &root,
            leaf(&|leaf| {
                leaf.extended_key_usages.clear();
                custom(&[2, 5, 29, 37], false, &[0x30, 0])(leaf);
            }),
            USAGE,
        ),
        below("below an intermediate for clients", &root, &[&clients], of(&clients), Want::Passes),
        below("below an intermediate for servers", &root, &[&web], of(&web), USAGE),
        direct("below an anchor for servers", &web_root, of(&web_root), Want::Refuses("clientAuth")),
        direct("digitalSignature", &root, uses(&[Use::DigitalSignature]), Want::Passes),
        direct("no key usage", &root, uses(&[]), Want::Passes),
        direct("keyEncipherment only", &root, uses(&[Use::KeyEncipherment]), USAGE),
        direct("keyAgreement only", &root, uses(&[Use::KeyAgreement]), USAGE),
        direct("below an anchor without keyCertSign", &lists_root, of(&lists_root), Want::Refuses("keyCertSign")),
        below(
            "below an intermediate without keyCertSign",
            &root,
            &[&lists_sub],
            of(&lists_sub),
            Want::Refuses("keyCertSign"),
        ),
        direct("an unknown extension", &root, leaf(&custom(unknown, false, known)), Want::Passes),
        direct("an unknown critical extension", &root, leaf(&custom(unknown, true, known)), MALFORMED),
        below("an unknown extension of the intermediate", &root, &[&noted], of(&noted), Want::Passes),
        below(
            "an unknown critical extension of the intermediate",
            &root,
            &[&odd_sub],
            of(&odd_sub),
            Want::Refuses("critical extension"),
        ),
        direct(
            "an unknown critical extension of the anchor",
            &odd_root,
            of(&odd_root),
            Want::Refuses("critical extension"),
        ),
        direct("an extension twice", &root, leaf(&custom(&[2, 5, 29, 15], false, &[3, 2, 7, 128])), MALFORMED),
    ]
}
