//! Reading the files of services: form first, then texts, then how they hang together.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::Manifest;
use super::{Catalogue, Service, checks, elsewhere, knowledge, words};
use crate::bank::Operations;
use crate::content::{Content, Fault, File};
use crate::render::Texts;
use crate::understanding::normalise;

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
    add_elsewhere(&mut catalogue, content, &mut faults);
    for service in knowledge::load(content, &mut faults) {
        add_entry(&mut catalogue, service, &mut faults);
    }
    faults.extend(checks::check(&catalogue));
    faults.sort();
    faults.dedup();
    if faults.is_empty() { Ok(catalogue) } else { Err(faults) }
}

/// Adds what is not done here. Words that a running service claims are its own.
fn add_elsewhere(catalogue: &mut Catalogue, content: &Content, faults: &mut Vec<Fault>) {
    let claimed: BTreeSet<String> = catalogue
        .iter()
        .flat_map(|service| service.manifest.keywords.iter().chain([&service.manifest.name]))
        .map(|word| normalise(word.get_ref()))
        .collect();
    for (_, file) in content.below("elsewhere") {
        let services = elsewhere::read(file).map_err(|fault| faults.push(fault)).unwrap_or_default();
        for mut service in services {
            if catalogue.get(service.id()).is_some() {
                continue;
            }
            service.manifest.keywords.retain(|word| !claimed.contains(&normalise(word.get_ref())));
            compile(&mut catalogue.texts, &service, faults);
            catalogue.services.insert(service.id().to_owned(), service);
        }
    }
}

/// Adds an entry of the knowledge base beside the service that it is about.
fn add_entry(catalogue: &mut Catalogue, service: Service, faults: &mut Vec<Fault>) {
    let id = &service.manifest.id;
    let about = service.entry.as_ref().and_then(|entry| catalogue.get(&entry.about));
    if about.is_none_or(|about| about.entry.is_some()) {
        let message = "`about` names no service; it says which service the entry belongs to";
        faults.push(service.file.fault_at(id.span().start, message));
    } else if catalogue.get(service.id()).is_some() {
        let message = format!("{:?} is a service already; give the entry an id of its own", id.get_ref());
        faults.push(service.file.fault_at(id.span().start, message));
    } else {
        compile(&mut catalogue.texts, &service, faults);
        catalogue.services.insert(service.id().to_owned(), service);
    }
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
    if faults.is_empty() {
        Ok(Service { manifest, file: file.clone(), runs: true, entry: None })
    } else {
        Err(faults)
    }
}

fn compile(texts: &mut Texts, service: &Service, faults: &mut Vec<Fault>) {
    for (template, _) in service.manifest.templates() {
        if let Err(fault) = texts.add(&service.text_name(template), template.get_ref()) {
            faults.push(service.text_fault(template, &fault));
        }
    }
}
