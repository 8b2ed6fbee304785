//! Services that this account does not do: recognised all the same, and answered by category with the official way and
//! a person. A service of `services/` takes the place of one of the same id here.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::Service;
use super::manifest::{Answer, Manifest, Template};
use crate::bank::Effect;
use crate::content::{Fault, File};
use crate::domain::step_up::Proof;

/// What stands for the service's name in `say`.
const NAME: &str = "{{ service }}";

/// A file of `elsewhere/`: one category.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Category {
    category: Spanned<String>,
    say: Spanned<String>,
    #[serde(default)]
    next: Vec<Spanned<String>>,
    services: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: Spanned<String>,
    keywords: Vec<Spanned<String>>,
}

/// The services of one file.
pub(super) fn read(file: &File) -> Result<Vec<Service>, Fault> {
    let category: Category = file.parse()?;
    let service = |(id, row): (String, Row)| {
        let say = category.say.get_ref().replace(NAME, row.name.get_ref());
        let id = Spanned::new(row.name.span(), id);
        let text = Spanned::new(category.say.span(), say);
        fixed(file, id, category.category.clone(), row.name, row.keywords, category.next.clone(), text)
    };
    Ok(category.services.into_iter().map(service).collect())
}

/// A service that only says a text.
pub(super) fn fixed(
    file: &File,
    id: Spanned<String>,
    category: Spanned<String>,
    name: Spanned<String>,
    keywords: Vec<Spanned<String>>,
    next: Vec<Spanned<String>>,
    text: Template,
) -> Service {
    let place = id.span();
    let manifest = Manifest {
        id,
        category,
        name,
        label: None,
        keywords,
        examples: Vec::new(),
        binding: Spanned::new(place.clone(), false),
        proof: Spanned::new(place.clone(), Proof::None),
        effect: Spanned::new(place, Effect::Read),
        direction: None,
        opposite: None,
        unbound: None,
        part_of: None,
        next,
        answer: Some(Answer { text }),
        lookup: None,
        form: None,
        link: None,
        escalate: None,
    };
    Service { manifest, file: file.clone(), runs: false, entry: None }
}
