/** Follows the live feed, and knows when what is shown has grown old. */
import { useEffect, useState } from 'preact/hooks';
import type { PeerStatus } from '../../peer/peer-handle.ts';
import { RequestFailed, readStatus } from './session.ts';

/** The peer sends something every 4 s; two missed and a half is a feed that stopped. */
const STALE_MS = 10_000;
const RETRY_MS = 2_000;
const LOOK_MS = 1_000;

export interface Live {
  readonly status: PeerStatus | undefined;
  /** When the last news came, by this browser's clock. */
  readonly updatedAtMs: number;
  readonly stale: boolean;
}

export function useLive(onLoggedOut: () => void): Live {
  const [status, setStatus] = useState<PeerStatus>();
  const [updatedAtMs, setUpdatedAtMs] = useState(0);
  const [stale, setStale] = useState(false);

  useEffect(() => {
    let source: EventSource | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let ended = false;
    let heardAtMs = Date.now();

    const heard = (news: PeerStatus) => {
      heardAtMs = Date.now();
      setStatus(news);
      setUpdatedAtMs(heardAtMs);
      setStale(false);
    };
    /** An EventSource does not say why it failed: ask, to tell a session that ended from a peer that is away. */
    const failed = async () => {
      source?.close();
      try {
        heard(await readStatus());
      } catch (error) {
        if (error instanceof RequestFailed && error.status === 401) {
          onLoggedOut();
          return;
        }
        if (Date.now() - heardAtMs > STALE_MS) setStale(true);
      }
      if (!ended) retry = setTimeout(open, RETRY_MS);
    };
    const open = () => {
      source = new EventSource('/api/v1/events');
      source.addEventListener('status', (event) =>
        heard(JSON.parse((event as MessageEvent<string>).data) as PeerStatus),
      );
      source.addEventListener('error', () => void failed());
    };
    open();
    const look = setInterval(() => setStale(Date.now() - heardAtMs > STALE_MS), LOOK_MS);
    return () => {
      ended = true;
      source?.close();
      clearTimeout(retry);
      clearInterval(look);
    };
  }, []);

  return { status, updatedAtMs, stale };
}
