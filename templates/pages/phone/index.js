// The start page: initials on the avatars, and new followers.

import { paintInitials } from "/phone/static/bubbles.js";

paintInitials(document);

for (const button of document.querySelectorAll("[data-new-follower]")) {
  button.addEventListener("click", async () => {
    const account = button.closest("[data-account]").dataset.account;
    const response = await fetch(`/sim/api/accounts/${encodeURIComponent(account)}/followers`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    if (response.ok) {
      const follower = await response.json();
      location.assign(`/phone/${encodeURIComponent(account)}/${encodeURIComponent(follower.openid)}`);
    }
  });
}
