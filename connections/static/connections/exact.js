"use strict";

// Forms send every line end as CRLF. A secret must arrive as it was typed, so its exact text is
// also sent as JSON, under the name of the field and "_json".
for (const form of document.forms) {
  form.addEventListener("formdata", (event) => {
    for (const area of form.querySelectorAll("textarea[data-exact]")) {
      if (area.value) event.formData.set(`${area.name}_json`, JSON.stringify(area.value));
    }
  });
}
