/** Small pieces every page uses: marks, help, times. */
import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';

/** ✔ green, ✘ red, or neither while nothing is known. The word is for those who do not see the colour. */
export function Verdict({ ok, text }: { ok: boolean | undefined; text: string }) {
  const [mark, word, kind] =
    ok === undefined ? ['–', 'not known', 'unknown'] : ok ? ['✔', 'good', 'good'] : ['✘', 'bad', 'bad'];
  return (
    <span class={`verdict ${kind}`}>
      <span class="mark" role="img" aria-label={word}>
        {mark}
      </span>
      <span class="text">{text}</span>
    </span>
  );
}

export function PeerSpecific() {
  return (
    <abbr class="dagger" title="Peer-specific: set on each peer, not replicated">
      †
    </abbr>
  );
}

/** The information icon: what it says is shown and hidden by mouse or keyboard, and is its title too. */
export function useHelp(label: string, help: string): { button: ComponentChildren; text: ComponentChildren } {
  const [open, setOpen] = useState(false);
  const id = useId();
  const button = (
    <button
      type="button"
      class="info"
      title={help}
      aria-label={`Help on ${label}`}
      aria-expanded={open}
      aria-controls={id}
      onClick={() => setOpen(!open)}
    >
      i
    </button>
  );
  const text = open ? (
    <p class="help" id={id}>
      {help}
    </p>
  ) : null;
  return { button, text };
}

/** A field: label, mark, value and help. */
export function Field(props: { label: string; peerSpecific?: boolean; help: string; children: ComponentChildren }) {
  const help = useHelp(props.label, props.help);
  return (
    <div class="field">
      <dt>
        <span>{props.label}</span>
        {props.peerSpecific === true && <PeerSpecific />}
      </dt>
      <dd>
        <div class="value">{props.children}</div>
        {help.text}
      </dd>
      {help.button}
    </div>
  );
}

export function Section(props: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  const id = useId();
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>
        {props.title}
        {props.aside !== undefined && <span class="aside">{props.aside}</span>}
      </h2>
      {props.children}
    </section>
  );
}

const time = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hour12: false,
});
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hour12: false });

export function clockTime(ms: number): string {
  return time.format(ms);
}

/** A moment in this browser's time zone; the exact UTC one in its title. */
export function Moment({ iso, otherwise }: { iso: string | undefined; otherwise: string }) {
  if (iso === undefined) return <span class="muted">{otherwise}</span>;
  return (
    <time dateTime={iso} title={iso}>
      {dateTime.format(new Date(iso))}
    </time>
  );
}

export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}
