// The form that starts a push of a stream which somebody else publishes.

import type { PushRequest } from "../sdk/src/rest.ts";
import { destinationProblems, pushRequest, type Destination } from "./address.ts";
import { startWords } from "./console-words.ts";
import type { FormDialog, Values } from "./form-dialog.ts";
import * as format from "./format.ts";
import { t } from "./language.ts";
import { kinds, presets, type Kind, type Preset } from "./presets.ts";

const savedPrefix = "saved ";

/**
 * Asks where a stream shall go. saved: the names of the destinations that the server keeps. anywhere: other addresses are offered, too. start sends
 * the request; the form shows why the server refuses it.
 */
export function askForPush(form: FormDialog, stream: string, saved: readonly (readonly [name: string, label: string])[], anywhere: boolean,
  start: (request: PushRequest) => Promise<void>): void {
  const kindOf = (values: Values): Kind => kinds.find((kind) => kind === values.text("where")) ?? "named";
  const presetOf = (values: Values): Preset => presets[kindOf(values)];
  const entered = (values: Values): Destination => {
    const kind = kindOf(values);
    return kind === "named" ? { kind, address: values.text("where").slice(savedPrefix.length), key: "" } : { kind, address: values.text("address"), key: values.text("key") };
  };
  const others = anywhere ? kinds.filter((kind) => kind !== "named") : [];
  const options = [
    ...saved.map(([name, label]) => [savedPrefix + name, label === "" ? name : `${name}, ${label}`] as const),
    ...others.map((kind) => [kind, (presets[kind] as Preset).label] as const),
  ];
  form.open({
    title: t("Push “{name}” to", { name: format.inSentence(stream) }),
    fields: [
      { id: "where", label: t("Destination"), kind: "choice", options, value: options[0]?.[0] ?? "server" },
      {
        id: "address", label: t("Address"), kind: "url", placeholder: "rtmp://example.com/live",
        when: (values) => kindOf(values) !== "named" && presetOf(values).address === "",
        check: (_, values) => destinationProblems(entered(values)).address,
      },
      {
        id: "key", label: t("Stream key"), kind: "password", hint: (values) => presetOf(values).hint,
        when: (values) => presetOf(values).key !== "none",
        check: (_, values) => destinationProblems(entered(values)).key,
      },
      {
        id: "loss", label: t("If the stream is lost"), kind: "choice", value: "end",
        options: [["end", t("The push ends")], ["hold", t("A still picture is shown until it is back")]],
      },
    ],
    action: t("Start the push"),
  }, async (values) => {
    const hold = values.text("loss") === "hold";
    await start({ ...pushRequest(stream, entered(values)), ...(hold && { options: { onSourceLoss: "hold" } }) });
  }, startWords);
}
