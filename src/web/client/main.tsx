import { render } from 'preact';
import { useState } from 'preact/hooks';
import {
  AlarmSection,
  ConfigurationSection,
  DatabaseSection,
  MappingSection,
  SynchronisationLine,
} from './clustering.tsx';
import { useLive } from './live.ts';
import { LogIn } from './login.tsx';
import { clockTime, duration } from './parts.tsx';
import { logOut } from './session.ts';

function Page({ onLoggedOut }: { onLoggedOut: () => void }) {
  const { status, updatedAtMs, stale } = useLive(onLoggedOut);
  if (status === undefined) return <p class="wait">Asking this peer for its status…</p>;
  document.title = `${status.systemName} – Clustering – peerage`;
  const leave = async () => {
    try {
      await logOut();
    } finally {
      onLoggedOut();
    }
  };
  return (
    <>
      <header>
        <strong class="product">peerage</strong>
        <span class="system">
          {status.systemName}
          <span class="muted">
            {' '}
            version {status.version}, up {duration(status.uptimeMs)}
          </span>
        </span>
        <span class={stale ? 'feed stale' : 'feed'} role="status">
          {stale
            ? `Stale: nothing heard since ${clockTime(updatedAtMs)}. Asking again.`
            : `Live, updated ${clockTime(updatedAtMs)}`}
        </span>
        <button type="button" onClick={() => void leave()}>
          Log out
        </button>
      </header>
      {status.lab && (
        <p class="banner lab" role="note">
          Lab peer: faults can be injected, keys and data are throw-away. Do not use it for calls that matter.
        </p>
      )}
      {status.restartRequired && (
        <p class="banner restart" role="alert">
          Restart required: cluster configuration has been changed, however a restart is required for this to take
          effect.
        </p>
      )}
      <main class={stale ? 'stale' : ''}>
        <nav aria-label="Breadcrumb">System › Clustering</nav>
        <h1>Clustering</h1>
        <ConfigurationSection status={status} />
        <DatabaseSection status={status} />
        <AlarmSection status={status} />
        <MappingSection status={status} />
        <p class="legend">
          <span>† peer-specific: set on each peer, not replicated</span>
          <span>i help</span>
        </p>
        <SynchronisationLine status={status} />
      </main>
    </>
  );
}

/** Whether someone is logged in is learnt by asking for the page's data; until then nothing else is shown. */
function App() {
  const [loggedIn, setLoggedIn] = useState(true);
  return loggedIn ? <Page onLoggedOut={() => setLoggedIn(false)} /> : <LogIn onLoggedIn={() => setLoggedIn(true)} />;
}

const root = document.getElementById('app');
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
