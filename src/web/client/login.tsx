import { useState } from 'preact/hooks';
import { logIn, RequestFailed } from './session.ts';

export function LogIn({ onLoggedIn }: { onLoggedIn: () => void }) {
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setProblem('');
    try {
      await logIn(String(form.get('user')), String(form.get('password')));
      onLoggedIn();
    } catch (error) {
      setProblem(error instanceof RequestFailed ? error.message : String(error));
      setBusy(false);
    }
  };

  return (
    <main class="login">
      <h1>peerage</h1>
      <form onSubmit={submit}>
        <label>
          User
          <input name="user" autocomplete="username" defaultValue="admin" required maxLength={64} />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required autofocus maxLength={1024} />
        </label>
        <button type="submit" disabled={busy}>
          {busy ? 'Checking the password…' : 'Log in'}
        </button>
        <p class="problem" role="alert">
          {problem}
        </p>
      </form>
    </main>
  );
}
