"use strict";

// A form with data-passkey is sent with what the browser's passkey answers to its data-options.
async function answer(form) {
  const kind = form.dataset.passkey;
  if (kind === "sign-in") {
    const asked = await fetch(form.action, { headers: { Accept: "application/json" } });
    return webauthnJSON.get((await asked.json()).request_options);
  }
  const options = JSON.parse(form.dataset.options);
  if (kind === "use") return webauthnJSON.get(options);
  // A passkey that signs in by itself has to be kept on the device, and to know its person.
  const alone = form.elements.passwordless.checked;
  Object.assign(options.publicKey.authenticatorSelection, {
    residentKey: alone ? "required" : "discouraged",
    requireResidentKey: alone,
    ...(alone && { userVerification: "required" }),
  });
  return webauthnJSON.create(options);
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const failed = form.querySelector("[data-passkey-failed]");
    failed.hidden = true;
    try {
      form.elements.credential.value = JSON.stringify(await answer(form));
      form.submit();
    } catch {
      failed.hidden = false;
    }
  });
}
