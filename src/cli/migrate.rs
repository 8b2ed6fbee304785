//! `weikefu migrate`

use weikefu::store::Store;

use super::{Context, Outcome};

pub(super) async fn run(context: &Context) -> Outcome {
    let config = context.config()?;
    Store::migrate(&config.database.url).await?;
    tell!("the database is up to date");
    Ok(())
}
