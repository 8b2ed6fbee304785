//! Reading the files of services: form first, then texts, then how they hang together.

use std::collections::BTreeMap;

use super::manifest::Manifest;
use super::{Catalogue, Service, checks, words};
use crate::bank::Operations;
use crate::content::{Content, Fault, File};
use crate::render::Texts;

pub(super) fn load(content: &Content, core: Operations, house: Operations) -> Result<Catalogue, Vec<Fault>> {
    let mut faults = Vec::new();
    let words = words(content).unwrap_or_else(|found| {
        faults.extend(found);
        Default::default()
    });
    let mut catalogue = Catalogue { services: BTreeMap::new(), texts: Texts::new(words), core, house };
    for (path, file) in content.below("services") {
        match read(path, file) {
            Ok(service) => {
                compile(&mut catalogue.texts, &service, &mut faults);
                catalogue.services.insert(service.id().to_owned(), service);
            }
            Err(found) => faults.extend(found),
        }
    }
    faults.extend(checks::check(&catalogue));
    faults.sort();
    faults.dedup();
    if faults.is_empty() { Ok(catalogue) } else { Err(faults) }
}

fn read(path: &str, file: &File) -> Result<Service, Vec<Fault>> {
    let manifest: Manifest = file.parse().map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    let (id, category) = (&manifest.id, &manifest.category);
    let plain = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
    };
    for word in [id, category] {
        if !plain(word.get_ref()) {
            let message = format!("{:?}: only a-z, 0-9 and _ are allowed, at most 64", word.get_ref());
            faults.push(file.fault_at(word.span().start, message));
        }
    }
    let place = format!("services/{}/{}.toml", category.get_ref(), id.get_ref());
    if path != place {
        faults.push(file.fault_at(id.span().start, format!("this file belongs at {place}")));
    }
    if faults.is_empty() { Ok(Service { manifest, file: file.clone() }) } else { Err(faults) }
}

fn compile(texts: &mut Texts, service: &Service, faults: &mut Vec<Fault>) {
    for (template, _) in service.manifest.templates() {
        if let Err(fault) = texts.add(&service.text_name(template), template.get_ref()) {
            faults.push(service.text_fault(template, &fault));
        }
    }
}
