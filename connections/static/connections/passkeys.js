"use strict";

// Submits a form that has data-passkey with the credential that a passkey makes for data-options.
async function getCredential(form) {
  const kind = form.dataset.passkey;
  if (kind === "sign-in") {
    const response = await fetch(form.action, { headers: { Accept: "application/json" } });
    return webauthnJSON.get((await response.json()).request_options);
  }
  const options = JSON.parse(form.dataset.options);
  if (kind === "use") return webauthnJSON.get(options);
  // A passkey that replaces the password is stored on the device and verifies its user.
  const passwordless = form.elements.passwordless.checked;
  Object.assign(options.publicKey.authenticatorSelection, {
    residentKey: passwordless ? "required" : "discouraged",
    requireResidentKey: passwordless,
    ...(passwordless && { userVerification: "required" }),
  });
  return webauthnJSON.create(options);
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const failed = form.querySelector("[data-passkey-failed]");
    failed.hidden = true;
    try {
      form.elements.credential.value = JSON.stringify(await getCredential(form));
      form.submit();
    } catch {
      failed.hidden = false;
    }
  });
}
